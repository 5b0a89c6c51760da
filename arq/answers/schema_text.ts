/** Answers of the admin API's `/v1/schemas…`, of any shape, as text for people. Pure. */
import { plural } from "../../shared/plural.ts";
import { printable } from "../terminal/exit.ts";
import { listingEnd } from "./settings_text.ts";
import { cell, filled, listing, listOf, type Members, membersOf } from "./policy_text.ts";

/** Where a text is shown. */
interface Shown {
  readonly stdout: { readonly has_color: boolean };
}

/** A function that colors a word on a terminal, and elsewhere returns the word unchanged. */
type Paint = (color: "red" | "yellow" | "green" | "bold", text: string) => string;

const CODES = { red: "31", yellow: "33", green: "32", bold: "1" } as const;

/** The function that colors words, or one that leaves them as they are when `has_color` is false. */
export function painter(has_color: boolean): Paint {
  return has_color ? (color, text) => `\u001b[${CODES[color]}m${text}\u001b[0m` : (_, text) => text;
}

/** `version 3`, or the word for a schema without a version. */
function versionName(value: unknown): string {
  const text = cell(value);
  return /^\d+$/.test(text) ? `version ${text}` : text;
}

/**
 * Findings below the file and the message or field that they are about, in the order of the answer:
 *
 *     fleet.proto
 *       fleet.v1.Vehicle.speed
 *         error field-type-changed: was float, is string (version 1 → candidate)
 */
export function findingsText(findings: unknown, paint: Paint): string {
  let text = "";
  let file = "";
  let place = "";
  for (const finding of listOf(findings).map(membersOf)) {
    const own_file = cell(finding["file"]) || "(no file)";
    const own_place = [finding["message"], finding["field"]].map(cell)
      .filter((part) => part !== "").join(".");
    if (own_file !== file) {
      text += `${paint("bold", own_file)}\n`;
      place = "";
    }
    if (own_place !== place && own_place !== "") text += `  ${own_place}\n`;
    file = own_file;
    place = own_place;
    const severity = cell(finding["severity"]);
    const word = paint(severity === "error" ? "red" : "yellow", severity);
    const [from, to] = [finding["from_version"], finding["to_version"]].map(versionName);
    const indent = own_place === "" ? "  " : "    ";
    const what = `${cell(finding["rule"])}: ${cell(finding["detail"])}`;
    text += `${indent}${word} ${what} (${from} → ${to})\n`;
  }
  return text;
}

/** The number of findings: `2 errors, 1 warning`; "" when there are none. */
export function findingsCount(findings: unknown): string {
  const all = listOf(findings).map(membersOf);
  const errors = all.filter((one) => one["severity"] === "error").length;
  const parts = [
    ...(errors > 0 ? [plural(errors, "error")] : []),
    ...(all.length > errors ? [plural(all.length - errors, "warning")] : []),
  ];
  return parts.join(", ");
}

/** The versions that a schema was compared with: `version 3`, `versions 3, 2, 1 and 4 more`. */
export function againstText(against: unknown): string {
  const all = listOf(against).map(cell);
  const shown = all.slice(0, 3).join(", ");
  const more = all.length > 3 ? ` and ${all.length - 3} more` : "";
  return all.length === 1 ? `version ${shown}` : `versions ${shown}${more}`;
}

/** How far the answering node is with a schema. */
function hereText(value: unknown): string {
  if (value === null || value === undefined) return "not mapped";
  const { state, messages } = membersOf(value);
  const bad = listOf(messages).map(membersOf).filter((one) => typeof one["problem"] === "string");
  const problem = bad.map((one) => `${cell(one["message"])}: ${cell(one["problem"])}`).join("; ");
  return problem === "" ? cell(state) : `${cell(state)}: ${problem}`;
}

/** The table of all schemas. */
export function schemaTable(schemas: unknown): string {
  const columns = ["SCHEMA=schema_id", "LATEST=latest.version", "KEPT=versions", "COMPATIBILITY"];
  const latest = ["BYTES=latest.size_bytes", "REGISTERED=latest.registered_ms", "THIS NODE"];
  return listing(schemas, [...columns, ...latest], { "THIS NODE": ({ here }) => hereText(here) });
}

/** One line for each refused schema that another tool has put into the bucket; "" when there is none. */
export function refusedText(refused: unknown, paint: Paint): string {
  const word = paint("red", "refused");
  return listOf(refused).map(membersOf).map((put) => {
    const serves = typeof put["serving"] === "number" ? `version ${put["serving"]}` : "nothing";
    const about = "{schema_id}[ ({refused_ms})]: {problem}; {serves} serves";
    return `${word} ${filled(about, { ...put, serves })}\n`;
  }).join("");
}

/** The text of `arq schema list`. */
export function schemasText({ schemas, refused }: Members, _: unknown, { stdout }: Shown): string {
  const all = schemaTable(schemas) || "no schema is registered\n";
  return all + refusedText(refused, painter(stdout.has_color));
}

/** The table of a schema's versions, newest first. */
const versionTable = (versions: unknown): string =>
  listing(
    listOf(versions).toReversed(),
    ["VERSION", "REGISTERED=registered_ms", "BY", "BYTES=size_bytes", "SHA256"],
    { SHA256: ({ sha256 }) => cell(sha256).slice(0, 12) },
  );

/** The text of `arq schema history`: one line about the schema, then its versions. */
export function historyText(answer: Members, _: unknown, { stdout }: Shown): string {
  const { schema_id, compatibility, versions, deleted, here, refused } = answer;
  const count = plural(listOf(versions).length, "version");
  const head = `${cell(schema_id)}, ${cell(compatibility)}, ${count}, this node: ${hereText(here)}`;
  const gone = deleted === null || deleted === undefined
    ? ""
    : filled("deleted at version {version} ({deleted_ms}) by {by}\n", membersOf(deleted));
  const put = refused === null || refused === undefined
    ? ""
    : refusedText([refused], painter(stdout.has_color));
  return `${head}\n${versionTable(versions)}${gone}${put}`;
}

/** The text for a deleted schema. */
export function deletionText({ version, versions }: Members, { id }: Members): string {
  const kept = plural(Number(versions), "version");
  const next = Number(version) + 1;
  const text =
    "{id} is deleted ({kept}, the newest {version}); the next push gets version {next}\n";
  return filled(text, { id, kept, version, next });
}

/** The text of `arq schema mappings`. */
export function mappingsText(answer: Members, { tenant }: Members): string {
  const { mappings } = answer;
  const none = listOf(mappings).length === 0 ? `tenant ${tenant} has set no mappings\n` : "";
  return none + mappingTable(mappings) + listingEnd(answer, "", tenant);
}

/** The table of a tenant's mappings. */
export const mappingTable = (mappings: unknown): string =>
  listing(
    mappings,
    ["SUBJECT", "SCHEMA=schema_id", "MESSAGE", "MODE", "UNKNOWN FIELDS=unknown_fields"],
  );

/** Most paths of unknown fields that one line shows. `--json` has all of them. */
const UNKNOWN_SHOWN = 4;

/** The text of `arq schema validate`: one line for each violation in a file. */
export function validationText(file: string, answer: Members, paint: Paint): string {
  const { valid, message, version, violations, total, unknown, unknown_paths } = answer;
  const by = version === undefined ? cell(message) : `${cell(message)}, version ${cell(version)}`;
  const verdict = valid === true ? paint("green", "valid") : paint("red", "not valid");
  const shown = listOf(violations).map(membersOf);
  const lines = [`${printable(file)}: ${verdict} as ${by}`];
  for (const violation of shown) {
    const path = cell(violation["path"]) || "(the message)";
    lines.push(`  ${path}: ${cell(violation["message"])} [${cell(violation["rule"])}]`);
  }
  if (typeof total === "number" && total > shown.length) {
    lines.push(`  … and ${total - shown.length} more`);
  }
  if (typeof unknown === "number" && unknown > 0) {
    const paths = listOf(unknown_paths).map(cell).slice(0, UNKNOWN_SHOWN);
    const more = unknown > paths.length ? ", …" : "";
    const named = paths.length === 0 ? "" : `: ${paths.join(", ")}${more}`;
    const what = `${plural(unknown, "unknown field")}${named}`;
    lines.push(`  ${paint("yellow", "note")} ${what}`);
  }
  return `${lines.join("\n")}\n`;
}
