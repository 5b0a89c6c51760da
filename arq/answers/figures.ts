/**
 * The figures of `arq status` as text for people: one line for each member of the admin API's answer. Pure. A
 * bus of another version may answer other members or shapes; every line has a plain form for them.
 */
import { plural } from "../../shared/plural.ts";
import { printable } from "../terminal/exit.ts";

type Members = Readonly<Record<string, unknown>>;

/** A `_ms` figure beyond this is a point in time, not a duration. */
const YEAR_2000_MS = 946_684_800_000;
/** The latest point in time that a Date can hold. */
const DATE_MS_MAX = 8.64e15;

const isMembers = (value: unknown): value is Members =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** `49h 0m 7s`: whole seconds, larger units only as far as they are needed. */
export function duration(duration_ms: number): string {
  const seconds = Math.max(0, Math.floor(duration_ms / 1_000));
  const hours = Math.floor(seconds / 3_600);
  const minutes = Math.floor(seconds / 60) % 60;
  const parts = [hours > 0 ? `${hours}h` : "", seconds >= 60 ? `${minutes}m` : ""];
  return [...parts, `${seconds % 60}s`].filter((part) => part !== "").join(" ");
}

const count = (number: unknown, what: string) => plural(Number(number), what);

const isTime = (value: unknown): value is number =>
  typeof value === "number" && value > YEAR_2000_MS && value <= DATE_MS_MAX;

/**
 * The line of the Spine: `nats connected (127.0.0.1:4222 2.15.2) since …, 0 reconnects, …`; undefined for
 * another shape.
 */
function spineLine(spine: unknown): string | undefined {
  if (!isMembers(spine)) return undefined;
  const { engine, state, since_ms, reconnects, pending_bytes, slow_consumers, server } = spine;
  if (typeof engine !== "string" || typeof state !== "string") return undefined;
  const where = typeof server === "string" ? ` (${server})` : "";
  const since = isTime(since_ms) ? ` since ${new Date(since_ms).toISOString()}` : "";
  const figures = [
    count(reconnects ?? 0, "reconnect"),
    count(pending_bytes ?? 0, "pending byte"),
    count(slow_consumers ?? 0, "slow consumer"),
  ];
  return [`${engine} ${state}${where}${since}`, ...figures].join(", ");
}

/**
 * The line of an issuer's keys: `arqon-dev: 1 key from jwks_file, healthy, loaded …`; undefined for another
 * shape.
 */
function keyLine(key: unknown): string | undefined {
  if (!isMembers(key) || typeof key["issuer"] !== "string") return undefined;
  const { issuer, source, keys, healthy, loaded_ms } = key;
  const loaded = isTime(loaded_ms) ? `loaded ${new Date(loaded_ms).toISOString()}` : "never loaded";
  const health = healthy === true ? "healthy" : "UNHEALTHY";
  return `${issuer}: ${count(keys ?? 0, "key")} from ${source}, ${health}, ${loaded}`;
}

/** Any value in one line: `name value` pairs with commas between them. */
function plain(name: string, value: unknown): string {
  if (Array.isArray(value)) return value.map((item) => plain("", item)).join("; ");
  if (isMembers(value)) {
    return Object.entries(value).map(([inner, item]) => `${inner} ${plain(inner, item) || "none"}`)
      .join(", ");
  }
  return name.endsWith("_ms") && isTime(value) ? new Date(value).toISOString() : String(value);
}

/** The rows of one member, each a label and a text. An empty member has no rows. */
function rowsOf(name: string, value: unknown): [string, string][] {
  if (name === "uptime_ms" && typeof value === "number") return [["uptime", duration(value)]];
  if (name === "keys" && Array.isArray(value)) {
    return value.map((key) => [name, keyLine(key) ?? plain(name, key)]);
  }
  const text = (name === "spine" ? spineLine(value) : undefined) ?? plain(name, value);
  return text === "" ? [] : [[name, text]];
}

/** All figures as aligned and indented lines. No answer of a server can drive the terminal. */
export function figureLines(figures: unknown): string {
  const members = isMembers(figures) ? figures : { answer: figures };
  const rows = Object.entries(members).flatMap(([name, value]) => rowsOf(name, value))
    .map(([label, text]) => [printable(label), printable(text)] as const);
  const width = Math.max(0, ...rows.map(([label]) => label.length));
  return rows.map(([label, text]) => `  ${label.padEnd(width)}  ${text}\n`).join("");
}
