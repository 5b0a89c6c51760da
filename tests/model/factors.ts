/**
 * What a row of the covering array is made of, and which values cannot stand together. A row is a short program: one
 * room of a tenant of its own, messages that come in one way through one gate, and two readers beside each other.
 */
import { type Chosen, coveringRows } from "./covering.ts";

/** Ways in which readers get a room's messages. */
export const READERS = [
  "text",
  "binary",
  "filter",
  "pattern",
  "events",
  "delta",
  "late",
  "after",
  "start",
  "history",
  "stream",
  "poll",
  "session",
  "resub",
  "echo",
  "refused",
  "stranger",
] as const;

/** Each factor and its values; the first of each is the plainest, to which a failing row shrinks. */
export const FACTORS = {
  log: ["plain", "durable", "latest"],
  journal: ["off", "all"],
  delta: ["none", "fossil"],
  source: [
    "text",
    "binary",
    "http",
    "batch",
    "stream",
    "schedule",
    "growing",
    "session",
    "protobuf",
  ],
  gate: ["none", "policy", "replace", "schema", "ungranted", "banned", "before"],
  shape: ["small", "large", "words"],
  twice: ["no", "yes"],
  again: ["no", "yes"],
  hook: ["no", "yes"],
  first: READERS,
  second: READERS,
} as const;

type Factors = typeof FACTORS;
/** A value of each factor. */
export type Row = { readonly [Name in keyof Factors]: Factors[Name][number] };

/** Readers that need what a log keeps. */
const NEEDS_LOG: readonly string[] = ["after", "start", "history", "stream", "poll"];
/** Sources that have no message ids of their own, or speak for themselves. */
const ANONYMOUS: readonly string[] = ["stream", "schedule", "growing"];

/** Whether the values of a row may stand together, as far as they are chosen. */
export function isPossible(row: Partial<Row>): boolean {
  const { log, source, gate, shape, twice, hook, first, second } = row;
  const readers = [first, second];
  const is_anonymous = source !== undefined && ANONYMOUS.includes(source);
  if (log === "plain") {
    if (readers.some((one) => one !== undefined && NEEDS_LOG.includes(one))) return false;
    if (source === "stream" || source === "growing" || hook === "yes") return false;
  }
  if (twice === "yes" && is_anonymous) return false;
  // The bus speaks in its own name, in a schedule; what grows is a text.
  if (source === "schedule" && (gate === "ungranted" || gate === "banned")) return false;
  if (source === "growing" && gate !== undefined && gate !== "none") return false;
  if (source === "growing" && shape !== undefined && shape !== "words") return false;
  if (source === "stream" && shape === "words") return false;
  if (gate === "schema" && shape === "words") return false;
  // The publisher's own connection is a socket.
  if (readers.includes("echo") && source !== undefined && source !== "text") return false;
  if (first !== undefined && first === second && first === "echo") return false;
  // Who is kept out of the room hears nothing of it.
  if (readers.includes("echo") && gate === "banned") return false;
  return true;
}

/** The rows next to this one with one value made plain: a failing row is shrunk by them. */
export function simpler(row: Row): Row[] {
  return Object.entries(FACTORS).flatMap(([name, [plainest]]) => {
    const next = { ...row, [name]: plainest } as Row;
    return row[name as keyof Row] === plainest || !isPossible(next) ? [] : [next];
  });
}

/** The rows in which each pair (`strength` 2) or triple (3) of values does that may stand together. */
export const rowsOf = (strength: number): Row[] =>
  coveringRows(FACTORS, strength, isPossible as (chosen: Chosen) => boolean) as unknown as Row[];
