/**
 * The outcome of one message for one connection, and for a room the messages that a connection was due and received.
 * Pure decisions on the data that `history.ts` gathers.
 */
import { WHY_MISSED_MAX } from "../../shared/cluster/cluster_why.ts";
import type {
  AskedMessage,
  ConnectionAccount,
  RoomAccount,
  WhyOutcome,
  WhyRead,
  WhyUser,
} from "../../shared/cluster/cluster_why.ts";
import type { Breathe } from "./scan.ts";
import type {
  ConnectionHistory,
  Gathered,
  Hole,
  Interval,
  LostShield,
  ReadPast,
  ReceivedMessage,
  StoredHere,
  Waits,
} from "./history.ts";

/** Comparisons in one slice: of a message with a connection's subscriptions and gaps, or with reads. */
const A_PIECE = 4_096;
const OUTCOME = 64;
/** The number of listed offsets that cost as much as one comparison. */
const LISTED = 16;

/** A requested message, and its receipt. */
interface Receipt {
  readonly room_id: string;
  readonly offset: number;
  /** Time at which it was received, here or elsewhere. */
  readonly time_ms: number;
  readonly received: ReceivedMessage | undefined;
  /** Set if it was stored from here and not received. */
  readonly stored?: StoredHere | undefined;
}

interface RoomHistory extends ConnectionHistory {
  /** Messages that were not delivered, by position, and by offset of each subscription. */
  readonly live_holes: readonly Hole[];
  readonly past_holes: ReadonlyMap<number | undefined, readonly Hole[]>;
}

/** The subscriptions by their beginnings. */
function inRoom(history: ConnectionHistory, room_id: string): RoomHistory {
  const intervals = history.intervals.filter((one) => one.room_id === room_id)
    .toSorted((a, b) => a.since - b.since);
  const holes = history.holes.filter((one) => one.room_id === room_id);
  const past_holes = Map.groupBy(
    holes.filter(({ by_offset }) => by_offset),
    ({ number }) => number,
  );
  return {
    ...history,
    intervals,
    past_holes,
    live_holes: holes.filter(({ by_offset }) => !by_offset),
  };
}

/** Whether the connection received the message. */
const isGiven = ({ state }: WhyOutcome) => state === "sent" || state === "caught_up";

/**
 * The outcome of one message for one connection; `since_ms` is the start of the ledger. Unwritten rows of a lost Shield
 * are unknown.
 */
function outcomeOf(history: RoomHistory, receipt: Receipt, since_ms: number): WhyOutcome {
  const outcome = knownOutcome(history, receipt, since_ms);
  return history.lost === undefined
    ? outcome
    : lostOutcome(history, history.lost, receipt, outcome);
}

/** How much later a message may reach one Shield than another, in ms. */
const LATE_MS = 1_000;

function lostOutcome(
  { waiting }: ConnectionHistory,
  { why, until_ms, by_ms }: LostShield,
  { received, time_ms, offset }: Receipt,
  outcome: WhyOutcome,
): WhyOutcome {
  const unknown: WhyOutcome = { state: "unknown", why, from_ms: until_ms, until_ms: by_ms };
  const { state } = outcome;
  if (state === "caught_up" || state === "left_out") return outcome;
  if (state === "behind") return unknown;
  if (received === undefined && time_ms > by_ms) {
    return { state: "not_connected", why, until_ms: by_ms };
  }
  // The connection may have read the room's log after its last record.
  if (offset > 0 && state !== "sent") return unknown;
  if (received !== undefined) {
    const waited = waiting !== undefined && waiting.at_ms >= until_ms &&
      received.position >= waiting.from;
    const is_late = received.time_ms > until_ms;
    if (is_late || state === "sent" && waited) return unknown;
  } else if (time_ms > until_ms - LATE_MS) return unknown;
  // Whether it has subscribed to the room since is unknown.
  return state === "not_subscribed" && outcome.why === "never"
    ? { state, from_ms: until_ms }
    : outcome;
}

/**
 * A message may have been withheld live and sent to a later subscription of the same connection with a position:
 * delivery takes precedence, then the last outcome.
 */
function knownOutcome(history: RoomHistory, receipt: Receipt, since_ms: number): WhyOutcome {
  const { cut_ms = -1, intervals } = history;
  if (receipt.time_ms <= cut_ms) return { state: "unknown", from_ms: cut_ms };
  const { received } = receipt;
  const at = received && intervals.find((one) => isWithin(one, received.position));
  const tries = intervals.flatMap((one) =>
    one === at && received !== undefined
      ? receivedIn(history, one, receipt, received)
      : caughtUp(history, one, receipt) ?? []
  );
  const outcome = tries.find(isGiven) ?? tries.find(({ state }) => state === "behind") ??
    tries.at(-1);
  if (outcome !== undefined) return outcome;
  if (receipt.time_ms < since_ms) return beforeLedger(history, receipt, since_ms);
  const due = received === undefined ? intervals.find((one) => isDue(one, receipt)) : undefined;
  return due === undefined ? absent(history, intervals, receipt) : missedIn(due, receipt);
}

const isWithin = ({ since, until }: Interval, position: number) =>
  since <= position && position < until;

/** Whether the subscription should have received a message that did not arrive. */
function isDue(interval: Interval, receipt: Receipt): boolean {
  const { offset, time_ms, stored } = receipt;
  const { since, since_ms, caught_up } = interval;
  if (offset > 0 && offset <= (caught_up?.after ?? 0)) return false;
  const is_later = stored === undefined ? since_ms <= time_ms : since <= stored.position;
  return is_later && !isAfter(receipt, interval);
}

/** The outcome of a message that a subscription should have received; times of another clock are less exact. */
function missedIn(
  { since_ms, until_ms, caught_up, ...rest }: Interval,
  { offset, time_ms, stored }: Receipt,
): WhyOutcome {
  const times = { from_ms: since_ms, ...untilOf({ until_ms }) };
  const is_behind_its_beginning = offset > 0 && caught_up !== undefined;
  const is_sure = stored !== undefined && rest.until !== Infinity ||
    time_ms < until_ms - LATE_MS && (is_behind_its_beginning || time_ms > since_ms + LATE_MS);
  return is_sure ? { state: "not_heard", ...times } : { state: "unknown", why: "edge", ...times };
}

/** The outcome of a message older than the ledger: certain only for later connections. */
function beforeLedger(
  { began_ms }: ConnectionHistory,
  { time_ms }: Receipt,
  since_ms: number,
): WhyOutcome {
  // The live time of a message that no Shield received is unknown.
  if (time_ms > 0 && time_ms < began_ms) return { state: "not_connected", from_ms: began_ms };
  return { state: "unknown", from_ms: since_ms };
}

/** The outcome of a message that came while the connection was subscribed. */
function receivedIn(
  history: RoomHistory,
  interval: Interval,
  receipt: Receipt,
  { position, time_ms, echo }: ReceivedMessage,
): WhyOutcome {
  if (echo === history.number) return { state: "left_out", why: "echo" };
  if (interval.filters.some((number) => history.filtered.get(number)?.has(position))) {
    return { state: "left_out", why: "filter" };
  }
  const { ended, live_holes } = history;
  const listed = history.listed.get(receipt.room_id);
  const left_out = listed?.get(position) ??
    live_holes.find(({ from, to }) => from <= position && position <= to)?.why;
  if (left_out !== undefined && left_out !== "queued") return { state: "left_out", why: left_out };
  const is_queued = ended === undefined
    ? isWaiting(history.backlog?.get(receipt.room_id), position)
    // If newer messages may replace older ones, queued ones are recorded one by one.
    : listed !== undefined || live_holes.some(({ why }) => why === "queued")
    ? left_out === "queued"
    : ended.queued_from > 0 && position >= ended.queued_from;
  const { caught_up, batch } = interval;
  const is_behind = caught_up !== undefined && receipt.offset > 0 &&
    (caught_up.live === 0 || position < caught_up.live);
  if (is_behind) {
    const late = caughtUp(history, interval, receipt);
    if (late !== undefined) return late;
    if (interval.until === Infinity) return { state: "behind", from_ms: interval.since_ms };
    return { state: "cut_off", why: interval.why, ...untilOf(interval) };
  }
  if (is_queued) {
    const end = ended === undefined ? {} : { why: endOf(ended), until_ms: ended.at_ms };
    return { state: "queued", ...end };
  }
  return { state: "sent", at_ms: time_ms, frame: batch ? "BATCH" : "MSG" };
}

/** Whether a message waits for an open connection. */
function isWaiting(backlog: Waits | undefined, position: number): boolean {
  if (backlog === undefined) return false;
  const { from, listed } = backlog;
  return listed === undefined ? from > 0 && position >= from : listed.has(position);
}

/** The outcome of a message that a subscription received, or should receive, from the room's log. */
function caughtUp(
  { past_holes }: RoomHistory,
  interval: Interval,
  receipt: Receipt,
): WhyOutcome | undefined {
  const { caught_up, number, since_ms, until, until_ms, batch } = interval;
  const { offset } = receipt;
  if (caught_up === undefined || offset === 0) return undefined;
  const { after, first, last, live } = caught_up;
  // A later message has that offset in another incarnation of the log. A message may be read before its publisher gets
  // the ACK.
  const read = { ...receipt, stored: undefined };
  if (offset <= after || isAfter(read, interval, LATE_MS)) return undefined;
  const hole = past_holes.get(number)?.find(({ from, to }) => from <= offset && offset <= to);
  if (hole !== undefined) return { state: "left_out", why: hole.why };
  if (first !== 0 && first <= offset && offset <= last) {
    return { state: "caught_up", from_ms: since_ms, frame: batch ? "BATCH" : "MSG" };
  }
  if (live !== 0) return undefined;
  if (until === Infinity) return { state: "behind", from_ms: since_ms };
  // For a message with only an offset it is unknown whether it came before that end.
  if (receipt.time_ms === 0) return undefined;
  return { state: "cut_off", why: interval.why, from_ms: since_ms, until_ms };
}

/** Whether a message came after the end of a subscription or connection; for a time of another clock, by a margin. */
function isAfter(
  { received, stored, time_ms }: Receipt,
  { until, until_ms }: Pick<Interval, "until" | "until_ms">,
  apart_ms = 0,
): boolean {
  const { position } = received ?? stored ?? {};
  return position === undefined ? time_ms > until_ms + apart_ms : position >= until;
}

/** The time up to which a subscription of a lost Shield is known. */
const lostOf = ({ lost }: ConnectionHistory, { until_ms }: Interval) =>
  lost === undefined || until_ms !== Infinity ? {} : { until_ms: lost.until_ms, why: lost.why };

/** When the subscription ended, if it has. */
const untilOf = ({ until_ms }: Pick<Interval, "until_ms">) =>
  until_ms === Infinity ? {} : { until_ms };

/** The outcome of a message that came when the connection did not subscribe to the room. */
function absent(
  { began_ms, ended }: ConnectionHistory,
  intervals: readonly Interval[],
  receipt: Receipt,
): WhyOutcome {
  const { time_ms } = receipt;
  const before = intervals.filter((one) => isAfter(receipt, one)).at(-1);
  if (ended !== undefined && isAfter(receipt, { until: ended.position, until_ms: ended.at_ms })) {
    return { state: "not_connected", until_ms: ended.at_ms, why: endOf(ended) };
  }
  if (time_ms < began_ms) return { state: "not_connected", from_ms: began_ms };
  if (before !== undefined) {
    return { state: "not_subscribed", until_ms: before.until_ms, why: before.why };
  }
  const [after] = intervals;
  if (after !== undefined) return { state: "not_subscribed", from_ms: after.since_ms };
  return { state: "not_subscribed", why: "never" };
}

/** The end of a connection, as one word. */
function endOf({ reason, code }: { readonly reason: string; readonly code: number }): string {
  return reason === "" ? String(code) : reason;
}

/** A Shield's report of each connection in the request. */
export async function accountsOf(
  gathered: Gathered,
  query: WhyUser,
  since_ms: number,
  breathe: Breathe,
): Promise<ConnectionAccount[]> {
  const accounts: ConnectionAccount[] = [];
  const reads = Map.groupBy(gathered.reads, ({ connection_id }) => connection_id);
  for (const history of gathered.connections) {
    const own = { ...gathered, reads: reads.get(history.connection_id) ?? [] };
    accounts.push(await accountOf(own, history, query, since_ms, breathe));
    await breathe();
  }
  return accounts;
}

async function accountOf(
  gathered: Gathered,
  history: ConnectionHistory,
  query: WhyUser,
  since_ms: number,
  breathe: Breathe,
): Promise<ConnectionAccount> {
  const { connection_id, user_id, remote_ip, began_ms, ended } = history;
  const shown = ended === undefined ? {} : {
    ended: {
      at_ms: ended.at_ms,
      code: ended.code,
      reason: ended.reason,
      unsent_bytes: ended.unsent_bytes,
    },
  };
  const lost = history.lost === undefined ? {} : { lost: history.lost };
  const outcomes: WhyOutcome[] = [];
  for (const [index, one] of query.messages.entries()) {
    await breathe();
    const receipt = receiptOf(one, gathered, index);
    const outcome = outcomeOf(inRoom(history, one.room_id), receipt, since_ms);
    const read = isGiven(outcome)
      ? undefined
      : await readBy(gathered.reads, receipt, connection_id, breathe);
    outcomes.push(
      read === undefined
        ? outcome
        : { state: "caught_up" as const, why: read.how, from_ms: read.at_ms },
    );
  }
  const room = query.room === undefined || query.since_ms === undefined
    ? {}
    : { room: await roomAccount(history, gathered, query.room, query.since_ms, since_ms, breathe) };
  return { connection_id, user_id, remote_ip, began_ms, ...shown, ...lost, outcomes, ...room };
}

function receiptOf(
  { room_id, offset, time_ms }: AskedMessage,
  { requested, stored }: Gathered,
  index: number,
): Receipt {
  const received = requested[index];
  const here = stored[index];
  const at_ms = received?.time_ms ?? here?.time_ms ?? time_ms;
  return { room_id, offset, time_ms: at_ms, received, stored: here };
}

/** The requested messages that the user has read over HTTP, in the order of reading. */
export async function readsOf(
  gathered: Gathered,
  query: WhyUser,
  breathe: Breathe,
): Promise<WhyRead[]> {
  const found: WhyRead[] = [];
  for (const [message, one] of query.messages.entries()) {
    const read = await readBy(gathered.reads, receiptOf(one, gathered, message), "", breathe);
    if (read === undefined) continue;
    const { user_id, how, at_ms } = read;
    found.push({ message, user_id, how, at_ms });
  }
  return found;
}

/** The first time that a message was read by that connection, or by the user over HTTP: ""; undefined: never. */
async function readBy(
  reads: readonly ReadPast[],
  { room_id, offset, time_ms }: Receipt,
  connection_id: string,
  breathe: Breathe,
): Promise<ReadPast | undefined> {
  if (offset === 0) return undefined;
  let compared = 0;
  for (const read of reads) {
    compared += 1 + (read.listed?.length ?? 0) / LISTED;
    if (compared >= A_PIECE) {
      compared = 0;
      await breathe();
    }
    const is_it = read.connection_id === connection_id && read.room_id === room_id &&
      (read.listed?.includes(offset) ?? (read.from <= offset && offset <= read.to)) &&
      read.at_ms > time_ms - LATE_MS;
    if (is_it) return read;
  }
  return undefined;
}

/** The messages of a room that one connection was due since a time, and those that it did not receive. */
async function roomAccount(
  history: ConnectionHistory,
  gathered: Gathered,
  room_id: string,
  asked_ms: number,
  since_ms: number,
  breathe: Breathe,
): Promise<RoomAccount> {
  const own = history.intervals.filter((one) => one.room_id === room_id);
  const narrow = inRoom(history, room_id);
  const comparisons = OUTCOME + own.length + history.holes.length;
  let compared = 0;
  const account: RoomAccount = {
    subscriptions: own.slice(-WHY_MISSED_MAX).map((one) => ({
      from_ms: one.since_ms,
      ...untilOf(one),
      ...(one.why === "" ? {} : { why: one.why }),
      ...lostOf(history, one),
    })),
    due: 0,
    sent: 0,
    missed: [],
    missed_count: 0,
    gaps: gathered.gaps.filter((gap) => gap.room_id === room_id && gap.time_ms >= asked_ms)
      .map(({ time_ms, reason }) => ({ time_ms, reason })),
  };
  for (const received of gathered.room) {
    compared += comparisons;
    if (compared >= A_PIECE) {
      compared = 0;
      await breathe();
    }
    const { time_ms, offset, twist_id } = received;
    const outcome = outcomeOf(narrow, { room_id, offset, time_ms, received }, since_ms);
    if (outcome.state === "not_connected" || outcome.state === "not_subscribed") continue;
    account.due++;
    if (outcome.state === "sent" || outcome.state === "caught_up") {
      account.sent++;
      continue;
    }
    account.missed_count++;
    if (account.missed.length < WHY_MISSED_MAX) {
      account.missed.push({ time_ms, offset, twist_id, outcome });
    }
  }
  return account;
}
