/**
 * A user's connections and some rooms in the ledger's rows and among the open connections, gathered for `explain.ts`.
 * Pure over the ledger; the open connections are an argument.
 */
import { REFUSED_BYTES } from "./ledger.ts";
import {
  HEAD_BYTES,
  isWanted,
  KIND,
  packedId,
  packedMessageId,
  readLeftOut,
  readMessage,
} from "./row_form.ts";
import type {
  CaughtUp,
  ConnectionBegin,
  ConnectionEnd,
  LeftOutWhy,
  PassedOver,
  PastRead,
  Refusal,
  SubscriptionBegin,
  SubscriptionEnd,
  WantedIds,
} from "./row_form.ts";
import type { SubscriptionMark } from "../fanout/delivery_notes.ts";
import { type Breathe, factsOf, type LedgerSource, type Passed, scan } from "./scan.ts";
import { WHY_CONNECTIONS_MAX, WHY_REFUSALS_MAX } from "../../shared/cluster/cluster_why.ts";
import type { AskedMessage, RefusalAccount, WhyUser } from "../../shared/cluster/cluster_why.ts";

/** The most subscriptions, and gaps, of one connection: beyond that, half of them are dropped. */
const OF_A_CONNECTION_MAX = 1_000;
const ROOM_MESSAGES_MAX = 20_000;
const GAPS_MAX = 200;
/** The most reads of the rooms' logs; the latest are kept. */
const READS_MAX = 20_000;

/** A connection that is open. */
export interface OpenConnection extends Omit<ConnectionBegin, "tenant_id"> {
  readonly number: number;
  subscription(room_id: string): SubscriptionMark | undefined;
  /** The room's queue for the client; absent or undefined: empty. */
  waits?(room_id: string): Waits | undefined;
}

/** Messages of a room that are queued for a client, by position. */
export interface Waits {
  /** All messages from this position on are queued; 0: none. */
  readonly from: number;
  /** The queued messages one by one, if a newer one may be sent before an older one; undefined: `from` is enough. */
  readonly listed: ReadonlySet<number> | undefined;
}

/** A subscription, or a part of one: from a position to a position. */
export interface Interval {
  readonly room_id: string;
  readonly number: number;
  readonly since: number;
  readonly since_ms: number;
  /** The position of its end; Infinity: it has not ended. */
  readonly until: number;
  readonly until_ms: number;
  readonly why: string;
  readonly batch: boolean;
  readonly caught_up: CaughtUp | undefined;
  /** The numbers of the filters that withheld a message from it. */
  readonly filters: readonly number[];
}

/** Messages not delivered to a connection, by position, or to a subscription of it, by offset. */
export interface Hole {
  readonly room_id: string;
  /** The subscription's number; undefined: by position. */
  readonly number?: number | undefined;
  readonly from: number;
  readonly to: number;
  readonly by_offset: boolean;
  readonly why: LeftOutWhy;
  /** When it was written, Unix ms. */
  readonly at_ms: number;
}

/** One connection, as far back as the ledger goes. */
export interface ConnectionHistory {
  readonly number: number;
  readonly connection_id: string;
  readonly user_id: string;
  readonly remote_ip: string;
  readonly began_ms: number;
  /** `position`: the position of the next message. */
  readonly ended:
    | (ConnectionEnd & { readonly at_ms: number; readonly position: number })
    | undefined;
  readonly intervals: Interval[];
  readonly holes: Hole[];
  /** For messages up to then some facts of the ledger were dropped because they were too many. Unix ms. */
  cut_ms?: number;
  /** Single messages not delivered to it, by room and position. */
  readonly listed: Map<string, Map<number, LeftOutWhy>>;
  /** Whether messages of one turn could share a frame; for a connection from the store. */
  readonly batch?: boolean;
  /** The queue of an open connection, by room. */
  readonly backlog?: ReadonlyMap<string, Waits>;
  /** The position from which messages were queued for it, and the time of that record, Unix ms. */
  waiting?: { readonly from: number; readonly at_ms: number };
  /** Its Shield has ended without recording the connection's end. */
  lost?: LostShield;
  /** The messages withheld by filters: positions by the filter's number. */
  readonly filtered: ReadonlyMap<number, ReadonlySet<number>>;
}

/** A Shield that is unreachable, or that ended before it had written everything. */
export interface LostShield {
  readonly why: "killed" | "silent";
  /** The time up to which its ledger is stored, and the time by which it had ended, Unix ms. */
  readonly until_ms: number;
  readonly by_ms: number;
}

/** A message as received by this Shield. */
export interface ReceivedMessage {
  readonly position: number;
  readonly time_ms: number;
  readonly offset: number;
  readonly twist_id: string;
  /** The number of the connection without echo; 0: none. */
  readonly echo: number;
}

/** Messages of a room's log sent to a reader. */
export type ReadPast = PastRead & { readonly room_id: string; readonly at_ms: number };

interface SentGap {
  readonly room_id: string;
  readonly time_ms: number;
  readonly reason: string;
}

/** The storage of a message that no client here received. */
export interface StoredHere {
  readonly position: number;
  /** Unix ms. */
  readonly time_ms: number;
}

/** All facts that answer a request. */
export interface Gathered {
  readonly connections: ConnectionHistory[];
  /** The requested messages, as received here; undefined: not received. */
  readonly requested: (ReceivedMessage | undefined)[];
  /** The storage time of a requested message that was not received; otherwise undefined. */
  readonly stored: (StoredHere | undefined)[];
  readonly reads: ReadPast[];
  /** The room's messages since the requested time. */
  readonly room: ReceivedMessage[];
  readonly gaps: SentGap[];
  readonly refusals: RefusalAccount[];
  /** As in `ConnectionHistory`. */
  readonly filtered: Map<number, Set<number>>;
  truncated: boolean;
}

/** The requested user or connection, and its open connections. */
export interface Subject {
  readonly query: WhyUser;
  readonly open: readonly OpenConnection[];
}

/** Gathers a subject's facts from the ledger. */
export async function gather(
  ledger: LedgerSource,
  { query, open }: Subject,
  breathe: Breathe,
): Promise<Gathered> {
  const gathered: Gathered = {
    connections: [],
    requested: query.messages.map(() => undefined),
    stored: query.messages.map(() => undefined),
    reads: [],
    room: [],
    gaps: [],
    refusals: [],
    filtered: new Map(),
    truncated: false,
  };
  const by_number: Histories = new Map();
  for (const one of open) by_number.set(one.number, openHistory(one, query, gathered));
  await scan(ledger, (row) => {
    if (row.head.kind === KIND.ended) addEnded(by_number, gathered, row, query);
    else if (row.head.kind === KIND.opened) addOpened(by_number, gathered, row, query);
  }, breathe);
  // There may be more of them than a call has arguments.
  for (const history of by_number.values()) gathered.connections.push(history);
  if (gathered.connections.length > WHY_CONNECTIONS_MAX) {
    // The latest connections are kept.
    gathered.connections.sort((a, b) => a.began_ms - b.began_ms);
    const gone = gathered.connections.splice(0, gathered.connections.length - WHY_CONNECTIONS_MAX);
    for (const { number } of gone) by_number.delete(number);
    gathered.truncated = true;
  }
  const rooms = roomsOf(ledger, query);
  const messages = query.messages.map((one) => ({ one, wanted: wantedOf(one) }));
  await scan(ledger, (row) => {
    const { head } = row;
    if (head.kind === KIND.refused) return addRefusal(gathered, row, query);
    if (head.kind === KIND.waiting) return addWaiting(by_number.get(head.connection), row);
    const room_id = rooms.get(head.room);
    if (room_id === undefined) return;
    if (head.kind === KIND.message) return addMessage(gathered, row, room_id, query, messages);
    if (head.kind === KIND.stored) return addStored(gathered, row, room_id, messages);
    if (head.kind === KIND.read) return addRead(gathered, row, room_id, query);
    if (head.kind === KIND.gap) return addGap(gathered, row, room_id);
    if (head.kind === KIND.left_out && addFiltered(gathered, row)) return;
    const history = head.connection === 0 ? undefined : by_number.get(head.connection);
    if (history !== undefined) addOwn(gathered, history, row, room_id);
  }, breathe);
  for (const history of gathered.connections) endWith(history);
  return gathered;
}

/** A connection's subscriptions end with it, although it leaves the rooms of its patterns later. */
function endWith({ intervals, ended }: ConnectionHistory): void {
  if (ended === undefined) return;
  const { position: until, at_ms: until_ms } = ended;
  intervals.forEach((one, at) => {
    if (one.until > until) intervals[at] = { ...one, until, until_ms, why: "closed" };
  });
}

function openHistory(
  one: OpenConnection,
  query: WhyUser,
  { filtered }: Gathered,
): ConnectionHistory {
  const { number, connection_id, user_id, remote_ip, began_ms, batch } = one;
  const intervals: Interval[] = [];
  const backlog = new Map<string, Waits>();
  const wanted = new Set(query.messages.map(({ room_id }) => room_id));
  if (query.room !== undefined) wanted.add(query.room);
  for (const room_id of wanted) {
    const waits = one.waits?.(room_id);
    if (waits !== undefined) backlog.set(room_id, waits);
    const mark = one.subscription(room_id);
    if (mark === undefined) continue;
    const { number, since, since_ms, episode, filters = [] } = mark;
    const ends = { until: Infinity, until_ms: Infinity, why: "" };
    // The request excludes later messages.
    const caught_up = episode === undefined ? undefined : { ...episode };
    const begin = { room_id, number, since, since_ms };
    intervals.push({ ...begin, ...ends, batch, caught_up, filters: [...filters] });
  }
  const of = { number, connection_id, user_id, remote_ip, began_ms };
  const none = { ended: undefined, holes: [], listed: new Map() };
  return { ...of, ...none, intervals, filtered, backlog };
}

function isWantedRow(
  query: WhyUser,
  { tenant_id, user_id, connection_id }: Pick<
    ConnectionEnd,
    "tenant_id" | "user_id" | "connection_id"
  >,
): boolean {
  if (tenant_id !== query.tenant) return false;
  return query.connection === undefined
    ? query.user !== undefined && user_id === query.user
    : connection_id === query.connection;
}

type Histories = Map<number, ConnectionHistory>;

/** Adds a stored row of an existing connection; the row of its end may follow. */
function addOpened(
  histories: Histories,
  { filtered }: Gathered,
  row: Passed,
  query: WhyUser,
): void {
  const { batch, tenant_id, ...begin } = factsOf<ConnectionBegin>(row);
  if (!isWantedRow(query, { tenant_id, ...begin })) return;
  const number = row.head.connection;
  if (histories.has(number)) return;
  const none = { ended: undefined, intervals: [], holes: [], listed: new Map(), filtered };
  histories.set(number, { number, ...begin, ...none, batch });
}

function addEnded(histories: Histories, { filtered }: Gathered, row: Passed, query: WhyUser): void {
  const end = factsOf<ConnectionEnd>(row);
  if (!isWantedRow(query, end)) return;
  const number = row.head.connection;
  const { connection_id, user_id, remote_ip, began_ms } = end;
  const ended = { ...end, at_ms: row.time_ms, position: row.position };
  const of = { number, connection_id, user_id, remote_ip, began_ms, ended };
  // The end of a connection that was open at the request is here, too, if it has ended meanwhile.
  histories.set(number, { ...of, intervals: [], holes: [], listed: new Map(), filtered });
}

type WantedMessages = readonly { one: AskedMessage; wanted: WantedIds | undefined }[];

/** Records the storage of a message that no client here received. */
function addStored(
  { stored }: Gathered,
  { head, segment: { bytes, view }, position, time_ms }: Passed,
  room_id: string,
  messages: WantedMessages,
): void {
  messages.forEach(({ one, wanted }, index) => {
    if (one.room_id !== room_id || wanted === undefined) return;
    if (isWanted(bytes, view, head, wanted)) stored[index] = { position, time_ms };
  });
}

function addRead({ reads }: Gathered, row: Passed, room_id: string, query: WhyUser): void {
  const read = factsOf<PastRead>(row);
  const { connection, user } = query;
  const is_own = connection === undefined
    ? read.user_id === user
    : read.connection_id === connection;
  if (!is_own) return;
  reads.push({ ...read, room_id, at_ms: row.time_ms });
  if (reads.length > READS_MAX) reads.shift();
}

function addMessage(
  gathered: Gathered,
  row: Passed,
  room_id: string,
  query: WhyUser,
  messages: WantedMessages,
): void {
  const { head, segment: { bytes, view }, position, time_ms } = row;
  const receivedMessage = (): ReceivedMessage => {
    const { offset, twist_id } = readMessage(bytes, view, head);
    return { position, time_ms, offset, twist_id, echo: head.connection };
  };
  messages.forEach(({ one, wanted }, index) => {
    if (one.room_id !== room_id || wanted === undefined) return;
    if (!isWanted(bytes, view, head, wanted)) return;
    const before = gathered.requested[index];
    const isNearer = ({ time_ms: other_ms }: ReceivedMessage) =>
      Math.abs(time_ms - one.time_ms) < Math.abs(other_ms - one.time_ms);
    if (before === undefined || isNearer(before)) gathered.requested[index] = receivedMessage();
  });
  if (query.room !== room_id || time_ms < (query.since_ms ?? Infinity)) return;
  if (gathered.room.length < ROOM_MESSAGES_MAX) gathered.room.push(receivedMessage());
  else gathered.truncated = true;
}

function addGap({ gaps }: Gathered, row: Passed, room_id: string): void {
  gaps.push({ room_id, time_ms: row.time_ms, ...factsOf<{ reason: string }>(row) });
  if (gaps.length > GAPS_MAX) gaps.shift();
}

/** Records what a filter withheld; false: the row is about one connection. */
function addFiltered(gathered: Gathered, { head, segment: { view } }: Passed): boolean {
  const { why, listed = [] } = readLeftOut(view, head.start, head.end);
  if (why !== "filter") return false;
  const positions = gathered.filtered.get(head.connection) ?? new Set();
  gathered.filtered.set(head.connection, positions);
  if (positions.size + listed.length > ROOM_MESSAGES_MAX) gathered.truncated = true;
  else for (const one of listed) positions.add(one);
  return true;
}

function addOwn(
  gathered: Gathered,
  history: ConnectionHistory,
  row: Passed,
  room_id: string,
): void {
  const { head: { kind, start, end }, segment: { view }, position, time_ms } = row;
  switch (kind) {
    case KIND.left: {
      const left = factsOf<SubscriptionEnd>(row);
      const { number, since, since_ms, why, batch, caught_up, filters = [] } = left;
      removeJoined(history, room_id, left);
      const until = { until: position, until_ms: time_ms };
      const of = { room_id, number, since, since_ms, ...until, why, batch, caught_up, filters };
      history.intervals.push(of);
      return keepLast(gathered, history, history.intervals, ({ until_ms }) => until_ms);
    }
    case KIND.joined:
      return addJoined(history, row, room_id);
    case KIND.left_out: {
      const { from, to, why, listed } = readLeftOut(view, start, end);
      if (listed !== undefined) {
        const of_room = history.listed.get(room_id) ?? new Map<number, LeftOutWhy>();
        for (const one of listed) of_room.set(one, why);
        history.listed.set(room_id, of_room);
        return;
      }
      history.holes.push({ room_id, from, to, by_offset: false, why, at_ms: time_ms });
      return keepLast(gathered, history, history.holes, ({ at_ms }) => at_ms);
    }
    case KIND.passed_over:
      history.holes.push({ room_id, by_offset: true, at_ms: time_ms, ...factsOf<PassedOver>(row) });
      return keepLast(gathered, history, history.holes, ({ at_ms }) => at_ms);
  }
}

/** Beyond the limit keeps those that ended last, as each message is compared with all of them. */
function keepLast<T>(
  gathered: Gathered,
  history: ConnectionHistory,
  all: T[],
  overMs: (one: T) => number,
): void {
  if (all.length <= OF_A_CONNECTION_MAX) return;
  const over = all.filter((one) => overMs(one) < Infinity);
  const gone = new Set(over.slice(0, OF_A_CONNECTION_MAX / 2));
  all.splice(0, all.length, ...all.filter((one) => !gone.has(one)));
  history.cut_ms = Math.max(history.cut_ms ?? 0, ...gone.values().map(overMs));
  gathered.truncated = true;
}

function addRefusal({ refusals }: Gathered, row: Passed, query: WhyUser): void {
  const refusal = factsOf<Refusal>(row, REFUSED_BYTES);
  if (query.tenant !== undefined && refusal.tenant_id !== query.tenant) return;
  const is_wanted = query.connection !== undefined
    ? refusal.connection_id === query.connection
    : query.address !== undefined
    ? refusal.remote_ip === query.address
    : refusal.user_id === query.user;
  if (!is_wanted || row.time_ms < (query.since_ms ?? 0)) return;
  const { head: { start }, segment: { view } } = row;
  const { tenant_id: _, ...shown } = refusal;
  refusals.push({
    at_ms: row.time_ms,
    count: view.getUint32(start + HEAD_BYTES, true),
    last_ms: view.getFloat64(start + HEAD_BYTES + 4, true),
    ...shown,
  });
  if (refusals.length > WHY_REFUSALS_MAX) refusals.shift();
}

function roomsOf(ledger: LedgerSource, query: WhyUser): Map<number, string> {
  const rooms = new Map<number, string>();
  const ids = query.messages.map(({ room_id }) => room_id);
  if (query.room !== undefined) ids.push(query.room);
  for (const room_id of ids) {
    if (query.tenant === undefined) continue;
    for (const number of ledger.rooms.numbersOf(query.tenant, room_id)) rooms.set(number, room_id);
  }
  return rooms;
}

/** The ids of a message in the form of rows; undefined without any. */
function wantedOf({ offset, twist_id, trace_id, message_id }: AskedMessage): WantedIds | undefined {
  const wanted = {
    // An offset alone is not enough: after a loss of the log, another message may have it.
    offset: offset === 0 ? undefined : offset,
    twist: packedId(twist_id),
    trace: packedId(trace_id),
    // Rows have the beginning of the longest ids, which may end within a character.
    id: message_id === "" || message_id.endsWith("\ufffd")
      ? undefined
      : packedMessageId(message_id),
  };
  return Object.values(wanted).every((one) => one === undefined) ? undefined : wanted;
}

/** Records a stored subscription; of repeated rows the last one applies. */
function addJoined(history: ConnectionHistory, row: Passed, room_id: string): void {
  const begin = factsOf<SubscriptionBegin>(row);
  const { number, since, since_ms, caught_up, filters = [] } = begin;
  removeJoined(history, room_id, begin);
  const ends = { until: Infinity, until_ms: Infinity, why: "" };
  const batch = history.batch ?? false;
  history.intervals.push({ room_id, number, since, since_ms, ...ends, batch, caught_up, filters });
}

/** Records that messages waited for the connection at that time. */
function addWaiting(history: ConnectionHistory | undefined, row: Passed): void {
  if (history === undefined) return;
  history.waiting = { from: factsOf<{ from: number }>(row).from, at_ms: row.time_ms };
}

/**
 * Removes the rows of an existing subscription, which are repeated. Another subscription of the same room may have
 * begun at the same position and time.
 */
function removeJoined(
  { intervals }: ConnectionHistory,
  room_id: string,
  { number, since, since_ms }: SubscriptionBegin,
): void {
  const at = intervals.findIndex((one) =>
    one.room_id === room_id && one.number === number && one.since === since &&
    one.since_ms === since_ms && one.until === Infinity
  );
  if (at >= 0) intervals.splice(at, 1);
}
