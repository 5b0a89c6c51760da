/**
 * What the bus must do with the messages of a row: which are accepted and which refused, with which reason; what each
 * reader receives, in which order; what the observers report. Written from `docs/`, which is cited for each rule. Pure,
 * and independent of the product's code.
 */
import { ANONYMOUS, readersOf, type Row } from "./factors.ts";

/** Messages of a row, before its end message. */
export const MESSAGES = 9;
/** The late readers connect before this one. */
export const HALF = 4;
/** A word that the policy of the gate `policy` refuses. */
const BAD_WORD = "malware";
const LARGE_CHARACTERS = 20_000;
/** docs/deltas.md: data under 48 bytes is no diff. */
const SMALL_CHARACTERS = 60;
/** The `history_size` of the rooms of `short`. */
export const SHORT = 2;

/** The message that ends a row, which passes every gate. */
export const END = MESSAGES;
/** Sent by a backend to which no gate applies. */
export const END_DATA = { k: "end" };

/** One message as it is sent. */
export interface Sent {
  readonly place: number;
  /** Undefined if its source has none. */
  readonly message_id: string | undefined;
  /** JSON, or a text if the shape is `words`. */
  readonly data: unknown;
}

/** What a reader receives of one message, as far as its transport contains it. */
export interface ReceivedMessage {
  /** JSON of its data; a signal is included as such, so that a GAP is never skipped. */
  readonly text: string;
  readonly offset?: number | undefined;
  readonly sender?: string | undefined;
  readonly message_id?: string | undefined;
  readonly type?: string | undefined;
  readonly trace_id?: string | undefined;
}

/** The outcome of one message. */
export interface Fate {
  /** Empty: accepted. Else `status reason`. */
  readonly refusal: string;
  /** As its readers get it, JSON of the data. */
  readonly delivered: string;
}

const letter = (place: number) => String.fromCharCode("a".charCodeAt(0) + place % MESSAGES);
/** Distinguishes messages with the same letter; without digits, which a policy masks. */
const turnOf = (place: number) =>
  place < MESSAGES ? "" : ` ${"z".repeat(Math.floor(place / MESSAGES))}`;
/** The place of the message whose data begins with that letter. */
export const placeOf = (letter: string): number => letter.charCodeAt(0) - "a".charCodeAt(0);

/** The messages of a row. */
export function messagesOf(row: Row): Sent[] {
  const count = row.source === "schedule" || row.source === "growing" ? 2 : MESSAGES;
  return Array.from({ length: count }, (_none, place) => messageOf(row, place));
}

/** The message at that place; those after the row's, in a walk, repeat them. */
export function messageOf(row: Row, place: number): Sent {
  const has_id = !ANONYMOUS.includes(row.source);
  return { place, message_id: has_id ? `m-${place}` : undefined, data: dataOf(row, place) };
}

/** The messages that a gate refuses, unless it refuses all. */
export const isOdd = (place: number): boolean => place % 3 === 2;
/** Those that only the second of two gates refuses. */
const isBad = (place: number): boolean => place % 3 === 1;

function dataOf({ gate, shape }: Row, place: number): unknown {
  const k = letter(place);
  const turn = turnOf(place);
  if (shape === "words") {
    return gate === "policy" && isOdd(place) ? `${k} ${BAD_WORD}${turn}` : `${k} 7${turn}`;
  }
  // Only a schema requires a number: an asterisk instead would be invalid JSON.
  const is_typed = gate === "schema" || gate === "schema_policy";
  const v = is_typed ? isOdd(place) ? "seven" : 7 : "7";
  const pad = `${"x".repeat(shape === "large" ? LARGE_CHARACTERS : SMALL_CHARACTERS)}${turn}`;
  const is_bad = gate === "policy" && isOdd(place) ||
    gate === "schema_policy" && (isOdd(place) || isBad(place));
  return { k, v, s: is_bad ? `${pad} ${BAD_WORD}` : pad };
}

/** The outcome of a message. docs/protocol.md, "Publishing", has the order of the checks. */
export function fateOf(row: Row, { place, data }: Sent): Fate {
  const text = JSON.stringify(data);
  // policies/examples/mask_digits.wat: each digit becomes an asterisk, wherever it is.
  const delivered = row.gate === "replace" ? text.replace(/\d/g, "*") : text;
  return { refusal: refusalOf(row, place), delivered };
}

/** If two reasons apply, the first in the order of the checks is returned. */
function refusalOf({ gate, source }: Row, place: number): string {
  switch (gate) {
    case "none":
    case "replace":
      return "";
    case "ungranted":
    case "ungranted_banned":
      return "403 not-granted";
    case "banned":
    // docs/operations.md, "Signals of backends": "as the command `room.ban`".
    case "banned_signal":
      return "403 room-banned";
    case "banned_late":
      return place < HALF ? "" : "403 room-banned";
    // docs/usage.md, "Budgets": "messages, commands and `reads` get 429 `budget-exhausted`".
    case "budget":
      return place < HALF ? "" : "429 budget-exhausted";
    // docs/operations.md, "Quotas": "Beyond it: 429 `tenant-quota`".
    case "quota":
      return place < HALF ? "" : "429 tenant-quota";
    case "unsigned":
      if (source !== "signed") return "403 signature-required";
      return isOdd(place) ? "403 signature-invalid" : "";
    case "policy":
    // docs/hooks.md: a `before` hook denies as a policy does.
    case "before":
      return isOdd(place) ? "403 policy-rejected" : "";
    case "schema":
      return isOdd(place) ? "400 schema-violation" : "";
    case "schema_policy":
      return isOdd(place) ? "400 schema-violation" : isBad(place) ? "403 policy-rejected" : "";
  }
}

/**
 * A refusal as its publisher gets it. docs/centrifugo.md, "Errors and codes": 103 "not granted, banned from the room,
 * refused by a policy", 106 "over a limit: rooms, members, bytes, quota", 107 "a bad request: also … a schema's
 * violation".
 */
export function answerOf({ source }: Row, refusal: string): string {
  if (refusal === "" || source !== "centrifugo" && source !== "centrifugo_api") return refusal;
  const code = Number(refusal.split(" ")[0]);
  return `error ${code === 403 ? 103 : code === 429 ? 106 : 107}`;
}

/** The sender of a message, as its receivers see it. */
export function senderOf({ source }: Row): string {
  switch (source) {
    // docs/schedules.md: if no user is given.
    case "schedule":
      return "schedule";
    // docs/pusher.md: `pusher:app:<id>`.
    case "pusher":
      return "pusher:app:";
    case "centrifugo_api":
      return "centrifugo:api";
    default:
      return "publisher";
  }
}

/** The type of a message; undefined: unspecified. docs/centrifugo.md: "an event of type `publication`". */
export const typeOf = ({ source }: Row): string | undefined =>
  source === "stream" ? undefined : source.startsWith("centrifugo") ? "publication" : "t";

/** The publisher's span, the parent of each message's trace. */
export const CLIENT_SPAN = "b7ad6b7169203331";
/** The trace of the message at that place, in a row of that name. */
export const traceIdOf = (trace: string, place: number): string =>
  `${trace}${place.toString(16).padStart(2, "0")}`;
/** As the publisher sends it. */
export const traceparentOf = (trace: string, place: number): string =>
  `00-${traceIdOf(trace, place)}-${CLIENT_SPAN}-01`;

/** A message is sent a second time, directly after the first. */
export const isTwice = (row: Row, place: number): boolean => row.twice === "yes" && place % 3 === 0;

/** A message as a reader gets it. docs/streams.md: anything but JSON appears as a base64 string. */
export function formOf(row: Row, reader: Row["first"], message: Sent): string {
  const { delivered } = fateOf(row, message);
  const is_encoded = (reader === "stream" || reader === "poll") && row.shape === "words";
  return is_encoded ? JSON.stringify(btoa(JSON.parse(delivered))) : delivered;
}

/** The places of the accepted messages. */
export const takenOf = (row: Row): number[] =>
  messagesOf(row).filter((one) => fateOf(row, one).refusal === "").map(({ place }) => place);

const earlyOf = (row: Row): number[] => takenOf(row).filter((place) => place < HALF);

/** The message that is removed after the first half, alone or with those before it; undefined: none. */
export const removedOf = (row: Row): number | undefined =>
  row.removed === "no" ? undefined : earlyOf(row)[1];

/** Whether the room's log has that message no longer. docs/durable.md, "Erasing messages". */
function isRemoved(row: Row, place: number): boolean {
  const last = removedOf(row);
  if (last === undefined) return false;
  return row.removed === "erased" ? place === last : place <= last;
}

/** The messages that the room's log still has. */
const leftOf = (row: Row): number[] => takenOf(row).filter((place) => !isRemoved(row, place));

/** The messages of the first half that the room's log still has at its end: docs/durable.md, `history_size`. */
function keptHalf(row: Row): number[] {
  const early = earlyOf(row).filter((place) => !isRemoved(row, place));
  return row.log === "short" ? early.slice(-SHORT) : early;
}

/**
 * Whether readers that return to the first message, or to the beginning, get everything behind it; else the reason.
 * docs/durable.md, "Recovery is whole or refused".
 */
export function lostOf(row: Row, from: "first" | "start"): "" | "history-trimmed" | "erased" {
  if (removedOf(row) !== undefined) return row.removed === "erased" ? "erased" : "history-trimmed";
  const is_short = from === "start" && keptHalf(row).length < earlyOf(row).length;
  return is_short ? "history-trimmed" : "";
}

/**
 * docs/protocol.md: with `cache_last` the last message follows the ACK "unless the SUB has a position and `recovered`
 * is true". docs/durable.md, "Erasing messages": that is the newest one that was not erased.
 */
const cachedOf = (row: Row): number[] => row.log === "cached" ? keptHalf(row).slice(-1) : [];

/** Whether the readers' filter accepts the message: a, c, e … */
export const isLetThrough = (place: number): boolean => place % MESSAGES % 2 === 0;

/** What a reader must have received before the end, by the places of the messages, in order. */
export function deliveredTo(row: Row, reader: Row["first"]): number[] {
  const taken = takenOf(row);
  const late = taken.filter((place) => place >= HALF);
  switch (reader) {
    case "filter":
    case "delta_filter":
      // docs/filters.md: `data` is the event's data if its content type is JSON.
      return row.shape === "words" ? [] : taken.filter(isLetThrough);
    case "late":
      return [...cachedOf(row), ...late];
    case "after":
      // The position is that of the first message that the log still has.
      if (lostOf(row, "first") !== "") return [...cachedOf(row), ...late];
      return [...keptHalf(row).slice(1), ...late];
    case "trimmed":
      // docs/durable.md: recovery is complete, or delivers nothing.
      if (lostOf(row, "start") !== "") return [...cachedOf(row), ...late];
      return [...keptHalf(row), ...late];
    case "events_back":
    case "centrifugo_back":
    case "positions":
      return lostOf(row, "first") === "" ? taken : [...earlyOf(row).slice(0, 1), ...late];
    case "start":
    case "history":
    case "stream":
    case "poll":
      // The end is one of the kept messages.
      return row.log === "short" ? taken.slice(-(SHORT - 1)) : leftOf(row);
    // docs/protocol.md: `no_echo` omits what this connection publishes.
    case "echo":
    case "refused":
    case "stranger":
      return [];
    default:
      return taken;
  }
}

/** How many messages another room of the pattern readers gets: one by each of them, and each receives all. */
export const othersOf = (row: Row): number =>
  readersOf(row).filter((one) => one === "pattern").length;

/** Readers without a subscription during the first messages. */
const NOT_LIVE: readonly string[] = [
  ...["late", "after", "start", "history", "stream", "poll", "refused", "stranger", "trimmed"],
];

/** Whether somebody is subscribed from the beginning. */
const isReadLive = (row: Row): boolean => readersOf(row).some((one) => !NOT_LIVE.includes(one));

/** The answer of `why` about an accepted message and a reader; undefined: not checked. */
export function whyOf(row: Row, reader: Row["first"], place: number): string | undefined {
  const is_early = place < HALF;
  switch (reader) {
    case "text":
    case "binary":
    case "pattern":
    case "events":
    case "delta":
    case "session":
    case "resub":
    case "member":
    case "pusher":
    case "centrifugo":
    case "ticket":
    case "verified":
      return "sent";
    case "filter":
    case "delta_filter":
      return deliveredTo(row, reader).includes(place) ? "sent" : "left_out filter";
    case "echo":
      return "left_out echo";
    case "late":
      if (!is_early) return "sent";
      if (row.log === "cached") return undefined;
      // docs/why.md: a message that nobody received is in no ledger, unless its room is durable.
      return row.log === "plain" && !isReadLive(row) ? undefined : "not_connected";
    case "after":
      if (!is_early) return "sent";
      return deliveredTo(row, "after").includes(place) ? "caught_up" : undefined;
    case "start":
      return deliveredTo(row, reader).includes(place) ? "caught_up history" : undefined;
    // It is read through streams, without a connection.
    case "history":
    case "stream":
    case "poll":
    case "stranger":
    // It is unspecified which of two messages a slow reader gets.
    case "slow":
    case "trimmed":
    // They had two connections.
    case "events_back":
    case "centrifugo_back":
    case "positions":
      return undefined;
    case "refused":
      return row.log === "plain" && !isReadLive(row) ? undefined : "not_subscribed never";
  }
}

/** One decision about a message, as in the journal. */
export interface Decision {
  readonly allowed: boolean;
  /** `code reason`; empty: allowed. */
  readonly refusal: string;
  /** Of the payload: `kept`, with its content, or `reference`. */
  readonly payload: string;
  /** A policy's replacement for the payload, as readers get it; undefined: none. */
  readonly replaced: string | undefined;
}

/** docs/journal.md: a larger payload is written as its hash. */
const KEPT_BYTES = 131_072;

/** The journal's decisions about a message: one for each time that it was sent. */
export function decisionsOf(row: Row, message: Sent): Decision[] {
  if (row.journal === "off") return [];
  const { refusal, delivered } = fateOf(row, message);
  const sent = row.shape === "words" ? String(message.data) : JSON.stringify(message.data);
  const is_replaced = row.gate === "replace" && refusal === "";
  const is_reference = row.journal === "all" &&
    (is_replaced || refusal === "" && row.log !== "plain");
  const replaced = is_replaced
    ? row.shape === "words" ? String(JSON.parse(delivered)) : delivered
    : undefined;
  if (sent.length > KEPT_BYTES) throw new RangeError("no message of a row is as large as that");
  const decision = {
    allowed: refusal === "",
    refusal,
    payload: is_reference ? "reference" : `kept ${sent}`,
    replaced,
  };
  return isTwice(row, message.place) ? [decision, decision] : [decision];
}

/**
 * What a shadow consumer gets of the row: the fewest and the most copies, JSON of the data of each in order. Undefined:
 * no rule matches it, or its outcome is unspecified. docs/governance.md: "Events and signals are copied, commands and
 * refused messages are not." Duplicates are unspecified.
 */
export function copiesOf(
  row: Row,
): { readonly least: readonly string[]; readonly most: readonly string[] } | undefined {
  if (row.mirror === "off" || row.source === "growing") return undefined;
  const copied = takenOf(row).map((place) => {
    const { delivered } = fateOf(row, messagesOf(row)[place]!);
    return { delivered, times: isTwice(row, place) ? 2 : 1 };
  });
  const end = JSON.stringify(END_DATA);
  return {
    least: [...copied.map(({ delivered }) => delivered), end],
    most: [...copied.flatMap(({ delivered, times }) => Array(times).fill(delivered)), end],
  };
}

/**
 * What operators changed about the row's tenant on `shields` Shields, as the audit log names it. docs/security.md:
 * "Every admin request that changes something"; docs/usage.md: "A used-up budget is reported once for all Shields".
 */
export function changesOf(row: Row, shields: number): string[] {
  const { log, journal, delta, membership, hook, mirror, gate, source, again, removed } = row;
  const times = (count: number, what: string): string[] => Array(count).fill(what);
  const is_again = again === "yes";
  const has_class = [log !== "plain", journal !== "off", delta !== "none", membership !== "off"]
    .includes(true);
  const is_slow = readersOf(row).includes("slow");
  const classes = (has_class ? 1 : 0) + (is_slow ? 1 : 0);
  const gates = shields * (is_again ? 2 : 1);
  return [
    ...times(classes * shields * (is_again ? 2 : 1), "PUT rooms"),
    ...times(hook === "yes" ? 1 : 0, "PUT hooks/h"),
    ...times(mirror === "off" ? 0 : shields, "PUT mirror"),
    ...times(["policy", "replace", "schema_policy"].includes(gate) ? gates : 0, DEPLOY),
    ...times(gate.startsWith("schema") ? gates : 0, "PUT mappings"),
    ...times(gate === "quota" ? 2 : 0, "PUT state"),
    ...times(gate === "budget" ? shields : 0, "PUT budgets"),
    ...times(gate === "budget" ? shields : 0, "DELETE budgets"),
    ...times(gate === "budget" ? 1 : 0, "budget.exhausted"),
    ...(removedOf(row) === undefined ? [] : [removed === "erased" ? ERASE : "POST trim"]),
    ...(source === "schedule"
      ? messagesOf(row).map(({ place }) => `PUT schedules/s-${place}`)
      : []),
  ];
}

/** The trace of a message, as the collector has it. */
export interface Trace {
  /** For each time that it was sent, the reason of its refusal; "": accepted. */
  readonly publish: readonly string[];
  /** Verdicts of policies for each of those times. */
  readonly policies: readonly string[];
}

/**
 * What is recorded of a message with an id. docs/tracing.md: a message "below a client's span: what the client's
 * `traceparent` says"; a refused message that nothing else takes "has its one span"; `policy` is "one for each policy
 * of the chain".
 */
export function traceOf(row: Row, message: Sent): Trace {
  const { refusal } = fateOf(row, message);
  const times = isTwice(row, message.place) ? 2 : 1;
  const repeated = (one: readonly string[]) => Array(times).fill(one).flat();
  const is_recorded = row.trace === "yes";
  const reason = refusal.split(" ")[1] ?? "";
  const verdicts = !["policy", "replace", "schema_policy"].includes(row.gate) ||
      reason === "schema-violation"
    ? []
    : [reason === "" ? "allow" : "reject"];
  // "Refusals before a message is looked at […] have none."
  const is_seen = row.source !== "stream" || !["not-granted", "room-banned"].includes(reason);
  return {
    publish: is_seen && (is_recorded || reason !== "") ? repeated([reason]) : [],
    policies: is_recorded ? repeated(verdicts) : [],
  };
}

const DEPLOY = "POST /v1/policies/deploy";
const ERASE = "POST /v1/data/erase";

/** Readers that send other requests, too, or have others beside them. */
const USES_MORE: readonly string[] = [
  ...["start", "session", "slow", "delta_filter", "events_back", "centrifugo_back", "positions"],
];

/** What the ledger of use counts, as far as specified: undefined if clients send other requests. */
export function useOf(
  row: Row,
): { readonly messages_in: number; readonly deliveries: number } | undefined {
  const readers = readersOf(row);
  // History commands, growing pieces, and bans are accepted messages, too.
  const is_open = readers.some((one) => USES_MORE.includes(one)) ||
    row.source === "growing" || row.source === "session" || row.gate.includes("banned") ||
    // So are those that exhausted it. A witness receives what is removed.
    row.gate === "quota" || row.removed !== "no";
  if (is_open) return undefined;
  const others = othersOf(row);
  const messages_in = takenOf(row)
    .reduce((sum, place) => sum + (isTwice(row, place) ? 2 : 1), 1 + others);
  // The row's end message arrives, too.
  const deliveries = readers.filter((one) =>
    one !== "refused" && one !== "stranger" && one !== "history" &&
    one !== "stream" && one !== "poll"
  )
    .reduce((sum, one) => sum + deliveredTo(row, one).length + 1, others * others);
  return { messages_in, deliveries };
}
