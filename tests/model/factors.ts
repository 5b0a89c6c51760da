/**
 * What a row of the covering array is made of, and which values cannot stand together. A row is a short program: one
 * room of a tenant of its own, messages that come in one way through one gate, and three readers beside each other.
 */
import { type Chosen, coveringRows, type Values } from "./covering.ts";

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
  "delta_filter",
  "trimmed",
  "slow",
  "member",
  "pusher",
  "events_back",
  "centrifugo",
] as const;

/** Ways in which messages come in. */
const SOURCES = [
  ...["text", "binary", "http", "batch", "stream", "schedule", "growing", "session", "protobuf"],
  ...["signed", "pusher", "nats"],
] as const;

/** What messages meet before they are taken. */
const GATES = [
  ...["none", "policy", "replace", "schema", "ungranted", "banned", "before", "unsigned"],
  ...["banned_late", "schema_policy", "ungranted_banned", "budget", "quota", "banned_signal"],
] as const;
/** Where there is no NATS, nobody publishes by it. */
const BY_NATS: readonly string[] = ["nats", "banned_signal"];

/** Each factor and its values; the first of each is the plainest, to which a failing row shrinks. */
export const FACTORS = {
  // The longest lists first: then the rows are fewest.
  first: READERS,
  second: READERS,
  third: READERS,
  gate: GATES.filter((one) => !BY_NATS.includes(one)),
  source: SOURCES.filter((one) => !BY_NATS.includes(one)),
  log: ["plain", "durable", "latest", "short", "cached"],
  journal: ["off", "all", "keep"],
  delta: ["none", "fossil"],
  membership: ["off", "journal"],
  shape: ["small", "large", "words"],
  twice: ["no", "yes"],
  again: ["no", "yes"],
  hook: ["no", "yes"],
  mirror: ["off", "all"],
  trace: ["no", "yes"],
} as const;

/** On NATS. */
const NATS_FACTORS = { ...FACTORS, gate: GATES, source: SOURCES };

type Factors = typeof FACTORS;
/** A value of each factor. */
export type Row = { readonly [Name in keyof Factors]: Factors[Name][number] };

/** A reader stands beside a value in whichever of them it is. */
export const SEATS = ["first", "second", "third"] as const;

/** The readers of a row. */
export const readersOf = (row: Row): Row["first"][] => SEATS.map((seat) => row[seat]);

/** Readers that need what a log keeps. */
const NEEDS_LOG: readonly string[] = [
  ...["after", "start", "history", "stream", "poll", "trimmed", "events_back"],
];
/** Sources that have no message ids of their own, or speak for themselves. */
const ANONYMOUS: readonly string[] = ["stream", "schedule", "growing", "pusher"];
/** Sources in another name than the publisher's, whom no gate about the publisher stops. */
const OTHERS: readonly string[] = ["schedule", "pusher"];
/** Gates about who publishes. */
const PERSONAL: readonly string[] = [
  ...["ungranted", "banned", "unsigned", "banned_late", "ungranted_banned", "banned_signal"],
];

/** Gates that close when half of the messages were published. */
const LATE: readonly string[] = ["budget", "quota"];
/** Sources that send two messages, the first half of them. */
const BRIEF: readonly string[] = ["schedule", "growing"];
/** Sources that send again by themselves what a quota refused, until they give up. */
const PATIENT: readonly string[] = ["binary", "session"];

/** Whether a source goes with the gate and the other values. */
function isSourcePossible(row: Partial<Row>): boolean {
  const { log, source, gate, shape, twice, hook, trace } = row;
  if (source === undefined) return true;
  if (trace === "yes" && ANONYMOUS.includes(source)) return false;
  if (log === "plain" && (source === "stream" || source === "growing")) return false;
  if (twice === "yes" && ANONYMOUS.includes(source)) return false;
  if (gate !== undefined && OTHERS.includes(source) && PERSONAL.includes(gate)) return false;
  if (gate !== undefined && LATE.includes(gate) && BRIEF.includes(source)) return false;
  if (gate === "quota" && PATIENT.includes(source)) return false;
  // Any Shield answers: what one of them is the first to know another may not know yet.
  if (source === "nats" && (gate === "quota" || gate?.includes("banned"))) return false;
  // The outcome of a schedule's message is not asked.
  if (source === "schedule" && gate === "schema_policy") return false;
  // What grows is a text.
  if (source === "growing" && gate !== undefined && gate !== "none") return false;
  if (source === "growing" && shape !== undefined && shape !== "words") return false;
  if (source === "stream" && shape === "words") return false;
  // docs/policies.md: a signed message is refused when a policy wants to change it.
  if (source === "signed" && gate === "replace") return false;
  return !(log === "plain" && hook === "yes");
}

/** Whether a reader goes with the other values. */
function isReaderPossible(
  reader: Row["first"],
  { log, source, gate, shape }: Partial<Row>,
): boolean {
  if (log === "plain" && NEEDS_LOG.includes(reader)) return false;
  switch (reader) {
    case "echo":
      // The publisher's own connection is a socket; who is kept out of the room hears nothing of it.
      return (source === undefined || source === "text") &&
        (gate === undefined || !gate.includes("banned"));
    case "slow":
      return log === undefined || log === "latest";
    case "trimmed":
      return log === undefined || log === "short";
    case "stream":
    case "poll":
      return log !== "short";
    case "events_back":
      // Whether it comes back to what is kept is another's question.
      return log !== "short" && log !== "cached";
    case "delta_filter":
      return shape !== "words";
    default:
      return true;
  }
}

/** Whether the values of a row may stand together, as far as they are chosen. */
export function isPossible(row: Partial<Row>): boolean {
  const { log, gate, shape, hook } = row;
  if (log === "plain" && hook === "yes") return false;
  if (shape === "words" && (gate === "schema" || gate === "schema_policy")) return false;
  const readers = SEATS.flatMap((seat) => row[seat] ?? []);
  if (readers.filter((one) => one === "echo").length > 1) return false;
  // Who subscribed first makes no difference that these readers could tell.
  if (readers.some((one, at) => placeOf(one) < placeOf(readers[at - 1] ?? one))) return false;
  return isSourcePossible(row) && readers.every((one) => isReaderPossible(one, row));
}

const placeOf = (reader: Row["first"]): number => READERS.indexOf(reader);

/** The rows next to this one with one value made plain: a failing row is shrunk by them. */
export function simpler(row: Row): Row[] {
  return Object.entries(FACTORS).flatMap(([name, [plainest]]) => {
    const next = { ...row, [name]: plainest } as Row;
    return row[name as keyof Row] === plainest || !isPossible(next) ? [] : [next];
  });
}

/** The row with its readers in the order of `READERS`. */
function inOrder<R extends Partial<Row>>(row: R): R {
  const seats = SEATS.filter((seat) => row[seat] !== undefined);
  const readers = seats.map((seat) => row[seat]!).sort((a, b) => placeOf(a) - placeOf(b));
  return { ...row, ...Object.fromEntries(seats.map((seat, at) => [seat, readers[at]])) };
}

const rowsWith = (
  strength: number,
  factors: Values,
  isAsked?: (names: readonly string[]) => boolean,
) =>
  (coveringRows(
    factors,
    strength,
    (chosen: Chosen) => isPossible(inOrder(chosen as Partial<Row>)),
    SEATS,
    isAsked,
  ) as unknown as Row[]).map(inOrder);

/** The rows in which each pair (`strength` 2) or triple (3) of values does that may stand together. */
export const rowsOf = (strength: number, factors: Values = FACTORS): Row[] =>
  rowsWith(strength, factors);

/**
 * The rows for NATS: each pair but those of two readers. These are at one Shield, and meet in what no engine has a part
 * in: all pairs of them are in `rowsOf`, on the embedded one.
 */
export const natsRows = (): Row[] =>
  rowsWith(2, NATS_FACTORS, (names) => !names.every((name) => SEATS.some((seat) => seat === name)));
