/**
 * Which messages of a room some Shields have heard and one has not, though it might have: what a user there should
 * have had, too. Pure; a connection's own Shield gives their outcome.
 */
import type { Gathered } from "../../../shared/cluster/cluster_asker.ts";
import { WHY_MESSAGES_MAX, WHY_MISSED_MAX } from "../../../shared/cluster/cluster_why.ts";
import type {
  AskedMessage,
  ConnectionAccount,
  RoomAccount,
  WhyOutcome,
  WhyRoom,
} from "../../../shared/cluster/cluster_why.ts";
import type { Clocks } from "./why_clocks.ts";

/** How long a message may be under way to a Shield; of what is younger, nobody says that it was lost. */
const UNDER_WAY_MS = 1_000;

/** What one Shield has not heard. */
export interface Unheard {
  readonly node_id: string;
  /** The oldest first, their times by this Shield's clock. */
  readonly messages: AskedMessage[];
  /** There are more than are asked about. */
  readonly truncated: boolean;
}

/** A connection as it is reported, with its Shield. */
type Told = ConnectionAccount & { readonly node_id: string };

/** What Shields have heard of a room, those that are not there any longer, too: each life of one is one answer. */
export type HeardInRoom = Gathered<WhyRoom>["answers"];

/**
 * The same with what a room's log has and nobody has heard. The log is no Shield: nobody was connected there, and its
 * clock is taken as that of who asks.
 */
export function withLogged(heard: HeardInRoom, logged: WhyRoom["rows"]): HeardInRoom {
  const known = new Set(
    heard.flatMap(({ value: { rows } }) => rows.map(([, , twist_id]) => twist_id)),
  );
  const rows = logged.filter(([, , twist_id]) => twist_id !== "" && !known.has(twist_id));
  if (rows.length === 0) return heard;
  const value = { since_ms: null, now_ms: 0, rows };
  return [...heard, { node_id: "", kind: "shield", value }];
}

/** What each of `whose` Shields has not heard of a room since a time by this Shield's clock, and another has. */
export function unheardBy(
  whose: HeardInRoom,
  { room, since_ms }: { readonly room: string; readonly since_ms: number },
  all: HeardInRoom,
  clocks: Clocks,
): Unheard[] {
  const heard = new Map<string, { time_ms: number; offset: number; within_ms: number }>();
  for (const { node_id, value: { rows } } of all) {
    const within_ms = clocks.of(node_id)?.within_ms ?? 0;
    for (const [raw_ms, offset, twist_id, duplicate] of rows) {
      const time_ms = clocks.here(node_id, raw_ms);
      const before = heard.get(twist_id);
      if (duplicate || before !== undefined && before.time_ms <= time_ms) continue;
      heard.set(twist_id, { time_ms, offset, within_ms });
    }
  }
  return whose.flatMap(({ node_id, value }) => {
    if (value.since_ms === null) return [];
    const own = new Set(value.rows.map(([, , twist_id]) => twist_id));
    const { ahead_ms, within_ms } = clocks.of(node_id) ?? { ahead_ms: 0, within_ms: 0 };
    const last = value.truncated === true ? value.rows.at(-1)?.[0] ?? 0 : value.now_ms;
    const found: AskedMessage[] = [];
    for (const [twist_id, one] of heard) {
      const time_ms = one.time_ms + ahead_ms;
      const apart_ms = UNDER_WAY_MS + one.within_ms + within_ms;
      // What is older than its ledger may have been caught up with from the room's log.
      const own_ms = since_ms + ahead_ms;
      const from_ms = one.offset > 0 ? own_ms : Math.max(own_ms, value.since_ms);
      if (own.has(twist_id) || time_ms < from_ms + apart_ms) continue;
      if (time_ms > last - apart_ms) continue;
      const ids = { twist_id, trace_id: "", message_id: "" };
      found.push({ room_id: room, offset: one.offset, ...ids, time_ms });
    }
    if (found.length === 0) return [];
    found.sort((a, b) => a.time_ms - b.time_ms);
    const truncated = found.length > WHY_MESSAGES_MAX;
    return [{ node_id, messages: found.slice(0, WHY_MESSAGES_MAX), truncated }];
  });
}

/** The accounts of a Shield's connections, with the outcome of the messages that it has not heard. */
export function withUnheard(
  connections: readonly Told[],
  { node_id, messages }: Unheard,
  told: readonly ConnectionAccount[],
): Told[] {
  const outcomes = new Map(told.map((one) => [one.connection_id, one.outcomes]));
  return connections.map((one) => {
    const own = one.node_id === node_id ? outcomes.get(one.connection_id) : undefined;
    if (own === undefined || one.room === undefined) return one;
    return { ...one, room: counted(one.room, messages, own) };
  });
}

/**
 * Whether it came in the last seconds of a lost Shield, of which nothing is written, to a subscription that was
 * there when it wrote last.
 */
function isGone(
  { subscriptions }: RoomAccount,
  time_ms: number,
  { state, why, from_ms = Infinity, until_ms = 0 }: WhyOutcome,
): boolean {
  if (state !== "unknown" || why === undefined) return false;
  if (time_ms < from_ms - UNDER_WAY_MS || time_ms > until_ms) return false;
  return subscriptions.some((one) => one.why === why && one.until_ms === from_ms);
}

function counted(
  account: RoomAccount,
  messages: readonly AskedMessage[],
  outcomes: ConnectionAccount["outcomes"],
): RoomAccount {
  let { due, sent, missed_count } = account;
  const missed = [...account.missed];
  for (const [place, outcome] of outcomes.entries()) {
    const message = messages[place];
    if (message === undefined) continue;
    const { time_ms, offset, twist_id } = message;
    const { state, until_ms = Infinity } = outcome;
    if (state === "sent" || state === "caught_up") {
      due++;
      sent++;
    }
    // At the ends of a subscription it is unknown on which side of it the message would have come.
    const is_certain = state === "not_heard" && time_ms < until_ms - UNDER_WAY_MS &&
      time_ms > (outcome.from_ms ?? 0) + UNDER_WAY_MS;
    const is_told = is_certain || state === "left_out" || state === "cut_off" ||
      state === "behind" || isGone(account, time_ms, outcome);
    if (!is_told) continue;
    due++;
    missed_count++;
    missed.push({ time_ms, offset, twist_id, outcome });
  }
  missed.sort((a, b) => a.time_ms - b.time_ms);
  return { ...account, due, sent, missed: missed.slice(0, WHY_MISSED_MAX), missed_count };
}
