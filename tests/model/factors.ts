/**
 * The factors of a row of the covering array, and which values are incompatible. A row is a short program: one room of
 * its own tenant, messages from one source through one gate, and three readers at the same time.
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
  "centrifugo_back",
  "positions",
  "ticket",
  "verified",
] as const;

/** Ways in which messages are published. */
const SOURCES = [
  ...["text", "binary", "http", "batch", "stream", "schedule", "growing", "session", "protobuf"],
  ...["signed", "pusher", "centrifugo", "centrifugo_api", "nats"],
] as const;

/** Checks that messages pass before they are accepted. */
const GATES = [
  ...["none", "policy", "replace", "schema", "ungranted", "banned", "before", "unsigned"],
  ...["banned_late", "schema_policy", "ungranted_banned", "budget", "quota", "banned_signal"],
] as const;
/** Sources that need NATS. */
const BY_NATS: readonly string[] = ["nats", "banned_signal"];

/** Each factor and its values; the first of each is the simplest one, to which a failing row shrinks. */
export const FACTORS = {
  // The longest lists first, which gives the fewest rows.
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
  // Of the room's transparency log; with a receipt, the publisher asks for one.
  proof: ["off", "log", "receipt"],
  // After half of the messages, by an operator: one of them, or the first ones.
  removed: ["no", "erased", "trimmed"],
} as const;

/** On NATS. */
const NATS_FACTORS = { ...FACTORS, gate: GATES, source: SOURCES };

type Factors = typeof FACTORS;
/** A value of each factor. */
export type Row = { readonly [Name in keyof Factors]: Factors[Name][number] };

/** A reader in any of the seats covers a pair. */
export const SEATS = ["first", "second", "third"] as const;

/** The readers of a row. */
export const readersOf = (row: Row): Row["first"][] => SEATS.map((seat) => row[seat]);

/** Readers that need stored messages. */
const NEEDS_LOG: readonly string[] = [
  ...["after", "start", "history", "stream", "poll", "trimmed", "events_back"],
  ...["centrifugo_back", "positions", "verified"],
];
/** Readers that return to the first message. */
const RETURNING: readonly string[] = ["events_back", "centrifugo_back", "positions"];
/** Sources without message ids of their own, or with another sender. */
export const ANONYMOUS: readonly string[] = [
  ...["stream", "schedule", "growing", "pusher", "centrifugo"],
];
/** Sources that publish under another name, to which no gate about the publisher applies. */
const OTHERS: readonly string[] = ["schedule", "pusher", "centrifugo_api"];
/** Sources whose answers have a receipt, if it is requested. */
const RECEIPTED: readonly string[] = ["text", "signed", "binary", "session", "http", "batch"];
/** Sources that publish JSON only. */
const JSON_ONLY: readonly string[] = ["stream", "centrifugo", "centrifugo_api"];
/** Gates about the publisher. */
const PERSONAL: readonly string[] = [
  ...["ungranted", "banned", "unsigned", "banned_late", "ungranted_banned", "banned_signal"],
];

/** Gates that close after half of the messages. */
const LATE: readonly string[] = ["budget", "quota"];
/** Sources that send two messages, the first before the half. */
const BRIEF: readonly string[] = ["schedule", "growing"];
/** Sources that retry what a quota refused, until they give up. */
const PATIENT: readonly string[] = ["binary", "session"];

/** Whether a source is compatible with the gate and the other values. */
function isSourcePossible(row: Partial<Row>): boolean {
  const { log, source, gate, shape, twice, hook, trace, proof } = row;
  if (source === undefined) return true;
  // docs/tracing.md: the HTTP header of a request that publishes, too.
  if (trace === "yes" && source !== "stream" && ANONYMOUS.includes(source)) return false;
  if (log === "plain" && (source === "stream" || source === "growing")) return false;
  if (twice === "yes" && ANONYMOUS.includes(source)) return false;
  if (gate !== undefined && OTHERS.includes(source) && PERSONAL.includes(gate)) return false;
  if (gate !== undefined && LATE.includes(gate) && BRIEF.includes(source)) return false;
  if (gate === "quota" && PATIENT.includes(source)) return false;
  // Any Shield answers: one Shield may not know yet what another already knows.
  if (source === "nats" && (gate === "quota" || gate?.includes("banned"))) return false;
  // The outcome of a schedule's message is not available.
  if (source === "schedule" && gate === "schema_policy") return false;
  // Only text grows.
  if (source === "growing" && gate !== undefined && gate !== "none") return false;
  if (source === "growing" && shape !== undefined && shape !== "words") return false;
  if (JSON_ONLY.includes(source) && shape === "words") return false;
  if (proof === "receipt" && !RECEIPTED.includes(source)) return false;
  // docs/policies.md: a signed message is refused if a policy wants to change it.
  if (source === "signed" && gate === "replace") return false;
  return !(log === "plain" && hook === "yes");
}

/** Whether a reader is compatible with the other values. */
function isReaderPossible(
  reader: Row["first"],
  { log, source, gate, shape, proof }: Partial<Row>,
): boolean {
  if (log === "plain" && NEEDS_LOG.includes(reader)) return false;
  switch (reader) {
    case "echo":
      // The publisher's own connection is a socket; a banned publisher receives nothing.
      return (source === undefined || source === "text") &&
        (gate === undefined || !gate.includes("banned"));
    case "slow":
      return log === undefined || log === "latest";
    case "verified":
      // docs/proof.md: "let the history be longer than ten seconds of messages".
      return log !== "short" && proof !== "off";
    case "delta_filter":
      return shape !== "words";
    default:
      // Whether they return to what is kept is covered by another reader.
      return !RETURNING.includes(reader) || log !== "short" && log !== "cached";
  }
}

/** Whether there is a log from which something can be removed, or of which there is a transparency log. */
function isLogPossible({ log, proof, removed }: Partial<Row>): boolean {
  if (log === "plain") return (proof ?? "off") === "off" && (removed ?? "no") === "no";
  // Which of two reasons a returning reader gets is unspecified.
  return log !== "short" || (removed ?? "no") === "no";
}

/** Whether the chosen values of a row are compatible. */
export function isPossible(row: Partial<Row>): boolean {
  const { log, gate, shape, hook } = row;
  if (!isLogPossible(row)) return false;
  if (log === "plain" && hook === "yes") return false;
  if (shape === "words" && (gate === "schema" || gate === "schema_policy")) return false;
  const readers = SEATS.flatMap((seat) => row[seat] ?? []);
  if (readers.filter((one) => one === "echo").length > 1) return false;
  // These readers cannot notice who subscribed first.
  if (readers.some((one, at) => placeOf(one) < placeOf(readers[at - 1] ?? one))) return false;
  return isSourcePossible(row) && readers.every((one) => isReaderPossible(one, row));
}

const placeOf = (reader: Row["first"]): number => READERS.indexOf(reader);

/** The rows with one value of this one simplified: used to shrink a failing row. */
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

/** The rows with each possible pair (`strength` 2) or triple (3) of values. */
export const rowsOf = (strength: number, factors: Values = FACTORS): Row[] =>
  rowsWith(strength, factors);

/**
 * The rows for NATS: each pair except those of two readers. Both readers are on one Shield, and share only what is
 * independent of the engine: `rowsOf` has all pairs of them, on the embedded one.
 */
export const natsRows = (): Row[] =>
  rowsWith(2, NATS_FACTORS, (names) => !names.every((name) => SEATS.some((seat) => seat === name)));
