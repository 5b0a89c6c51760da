/** Text for people, and JSON, about a backup, for `arq backup` and `arq restore`. Pure. */
import { partBytes } from "../../shared/backup/manifest.ts";
import type { BackupPart, Manifest } from "../../shared/backup/manifest.ts";
import { plural } from "../../shared/plural.ts";
import { printable } from "../terminal/exit.ts";

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

/** A size in bytes as text: `512 B`, `1.4 MiB`. */
export function sizeText(bytes: number): string {
  const at = bytes === 0 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(bytes) / 10));
  return `${at === 0 ? bytes : (bytes / 1_024 ** at).toFixed(1)} ${UNITS[at]}`;
}

function detailOf(part: BackupPart): string {
  if (part.kind === "stream") {
    const { messages, first_sequence, last_sequence } = part;
    return `${plural(messages, "message")}, ${first_sequence} to ${last_sequence}`;
  }
  if (part.kind === "database") return plural(Object.keys(part.sequences).length, "sequence");
  return `mode ${part.mode.toString(8)}`;
}

/** The line of one part of a backup in the table. */
const rowOf = (part: BackupPart, width: number) =>
  `  ${printable(part.name).padEnd(width)}  ${sizeText(partBytes(part)).padStart(10)}  ${
    detailOf(part)
  }\n`;

/** The table of what is in a backup. */
export function manifestText(manifest: Manifest): string {
  const { engine, version, begun_ms, ended_ms, parts, node_id } = manifest;
  const bytes = parts.reduce((total, part) => total + partBytes(part), 0);
  const width = Math.max(0, ...parts.map(({ name }) => printable(name).length));
  const who = node_id === undefined ? "" : ` by ${node_id}`;
  return `engine ${engine}, ArqonBus ${version}${who}, begun ${
    new Date(begun_ms).toISOString()
  }, ` +
    `${((ended_ms - begun_ms) / 1_000).toFixed(1)} s, ${plural(parts.length, "part")}, ` +
    `${sizeText(bytes)}\n${parts.map((part) => rowOf(part, width)).join("")}`;
}

/** Whether a backup holds files such as keys, which must be kept secret. */
export const hasFiles = ({ parts }: Pick<Manifest, "parts">): boolean =>
  parts.some(({ kind }) => kind === "file");
