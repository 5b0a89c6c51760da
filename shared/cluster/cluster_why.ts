/**
 * Questions to Shields about one message or one user, and the answers from their ledgers. Strict and bounded, because
 * any client of NATS may write them. `shield/ledger/` answers them.
 */
import { isId } from "@arqon/proto";
import { z } from "zod";
import { SAME_CLOCK_MS } from "./cluster_question.ts";

/** The most messages in one question and in one answer. */
export const WHY_MESSAGES_MAX = 50;
/** The most connections that one Shield reports. */
const CONNECTIONS_MAX = 200;
/** The most refusals that one Shield reports. */
export const WHY_REFUSALS_MAX = 100;
/** Messages that did not reach a connection, by id, that one Shield reports each. */
export const WHY_MISSED_MAX = 200;

const Id = z.string().refine(isId);
const Count = z.number().min(0);
const Text = z.string().max(1_024);
const Time = z.number();

/** The messages to find: by one of the ids, or by an offset and its room. */
export const WhyFind = z.strictObject({
  tenant: Id,
  room: Id.optional(),
  trace: z.string().max(64).optional(),
  twist: z.string().max(64).optional(),
  message_id: z.string().max(65_536).optional(),
  offset: Count.optional(),
});
export type WhyFind = z.output<typeof WhyFind>;

/** The start of a Shield's ledger, by its own clock. */
const Reach = {
  /** Unix ms; null: it keeps no ledger. */
  since_ms: Time.nullable(),
  now_ms: Time,
  /** When this life of the Shield began; absent: nothing of it is stored. */
  life_ms: Time.optional(),
};

const Message = z.strictObject({
  room_id: Id,
  /** 0: the room is not durable. */
  offset: Count,
  time_ms: Time,
  trace_id: Text,
  twist_id: Text,
  message_id: Text,
  /** True for a duplicate: it was dropped for all subscribers because its id had been received before. */
  duplicate: z.boolean(),
});
/** A message that a Shield has received. */
export type WhyMessage = z.output<typeof Message>;

/** The messages that a Shield has received. */
export const WhyFound = z.strictObject({
  ...Reach,
  rows: z.array(Message).max(WHY_MESSAGES_MAX),
  truncated: z.boolean().optional(),
});
/** The messages that a Shield has received. */
export type WhyFound = z.output<typeof WhyFound>;

/**
 * The time of the question, by the clock of all times in it; absent: the times are by the clock of the answering
 * Shield.
 */
const AskerClock = { now_ms: Time.optional() };

const Asked = z.strictObject({
  room_id: Id,
  offset: Count,
  /** "": the message has no such id, or it is unknown; the same below. */
  twist_id: Text,
  trace_id: Text,
  message_id: Text,
  time_ms: Time,
});
/**
 * A message whose deliveries are requested. Senders choose ids and may give many messages the same one: then the
 * message received nearest to that time is meant.
 */
export type AskedMessage = z.output<typeof Asked>;

/** The messages asked about: a user's or a connection's; and which: some by id, or those of a room since a time. */
export const WhyUser = z.strictObject({
  /** Absent: refusals of unauthenticated connections, by address. */
  tenant: Id.optional(),
  user: z.string().max(256).optional(),
  connection: Id.optional(),
  address: z.string().max(100).optional(),
  messages: z.array(Asked).max(WHY_MESSAGES_MAX),
  room: Id.optional(),
  since_ms: Time.optional(),
  ...AskerClock,
});
export type WhyUser = z.output<typeof WhyUser>;

/**
 * The lead of a clock if it is certain; 0 if the clocks may agree, because a guess would change the order of events.
 */
export const surelyAhead = (ahead_ms: number) => Math.abs(ahead_ms) < SAME_CLOCK_MS ? 0 : ahead_ms;

/** The question with its times converted to the clock of the answering Shield, whose present time is `own_ms`. */
export function byOwnClock<A extends Pick<WhyUser, "since_ms" | "now_ms"> & Partial<WhyUser>>(
  query: A,
  own_ms: number,
): A {
  const { now_ms = own_ms, since_ms, messages } = query;
  const ahead_ms = surelyAhead(own_ms - now_ms);
  if (ahead_ms === 0) return query;
  return {
    ...query,
    ...(since_ms === undefined ? {} : { since_ms: since_ms + ahead_ms }),
    ...(messages === undefined ? {} : {
      messages: messages.map((one) => ({ ...one, time_ms: one.time_ms + ahead_ms })),
    }),
  };
}

/**
 * The outcome of a message for one connection. `sent`: it was sent to the socket at `at_ms`. `caught_up`: it was sent
 * later, when the subscription caught up, or (with `why` `history`) in a page that the connection requested.
 * `left_out`: it was not sent, for the reason `why`. `queued`: it waits for the client, or still waited when the
 * connection ended. `behind`: the connection has not read up to it yet. `cut_off`: the subscription ended before it had
 * read up to it. `not_heard`: the connection was subscribed, but the message did not reach this Shield.
 * `not_subscribed`, `not_connected`: at that time. `unknown`: the ledger does not reach back that far; or `why` is
 * `killed` or `silent`, if its Shield is gone and had not written what it knew; or `edge`, if another Shield received
 * it when the subscription here had just begun or was about to end.
 */
const WhyState = z.enum([
  "sent",
  "caught_up",
  "left_out",
  "queued",
  "behind",
  "cut_off",
  "not_heard",
  "not_subscribed",
  "not_connected",
  "unknown",
]);

/** The outcome of one message for one connection, and when. */
const Outcome = z.strictObject({
  state: WhyState,
  why: Text.optional(),
  /** When it was sent, by this Shield's clock. */
  at_ms: Time.optional(),
  /** `MSG`, or `BATCH` where messages of a turn could share a frame. */
  frame: z.enum(["MSG", "BATCH"]).optional(),
  /** Start or end of the connection or subscription. */
  from_ms: Time.optional(),
  until_ms: Time.optional(),
});
/** The outcome of one message for one connection. */
export type WhyOutcome = z.output<typeof Outcome>;

const Subscription = z.strictObject({
  from_ms: Time,
  until_ms: Time.optional(),
  why: Text.optional(),
});

/** What one connection should have received of a room, and what it was sent. */
const RoomAccount = z.strictObject({
  subscriptions: z.array(Subscription).max(WHY_MISSED_MAX),
  /** Messages that reached this Shield while it was subscribed. */
  due: Count,
  sent: Count,
  missed: z.array(
    z.strictObject({ time_ms: Time, offset: Count, twist_id: Text, outcome: Outcome }),
  ).max(WHY_MISSED_MAX),
  missed_count: Count,
  gaps: z.array(z.strictObject({ time_ms: Time, reason: Text })).max(WHY_MISSED_MAX),
});
/** What one connection should have received of a room. */
export type RoomAccount = z.output<typeof RoomAccount>;

const Ended = z.strictObject({ at_ms: Time, code: Count, reason: Text, unsent_bytes: Count });

/**
 * Of a ledger whose Shield was killed or is silent: the time of the last stored block, and the time by which the Shield
 * had ended.
 */
const Lost = z.strictObject({ why: z.enum(["killed", "silent"]), until_ms: Time, by_ms: Time });

const ConnectionAccount = z.strictObject({
  connection_id: Id,
  user_id: Text,
  remote_ip: Text,
  began_ms: Time,
  /** Absent: it is open. */
  ended: Ended.optional(),
  /** Its Shield is gone and did not write how the connection ended. */
  lost: Lost.optional(),
  /** One for each requested message, in that order. */
  outcomes: z.array(Outcome).max(WHY_MESSAGES_MAX),
  room: RoomAccount.optional(),
});
/** What a Shield reports about one connection. */
export type ConnectionAccount = z.output<typeof ConnectionAccount>;

const RefusalAccount = z.strictObject({
  at_ms: Time,
  /** Number of consecutive equal refusals, and the time of the last. */
  count: Count,
  last_ms: Time,
  stage: z.enum(["handshake", "operation"]),
  user_id: Text,
  connection_id: Text,
  remote_ip: Text,
  room_id: Text,
  reason: Text,
  detail: Text,
});
/** A refusal that a Shield reports. */
export type RefusalAccount = z.output<typeof RefusalAccount>;

/** A message of a durable room that a user has read over HTTP. */
export const WhyRead = z.strictObject({
  /** Index of the message in the request. */
  message: Count,
  user_id: Text,
  how: z.enum(["history", "stream"]),
  at_ms: Time,
});
/** A message of a durable room that a user has read over HTTP. */
export type WhyRead = z.output<typeof WhyRead>;

/** What a Shield reports about a user's, or one connection's, messages. */
export const WhyReport = z.strictObject({
  ...Reach,
  rows: z.array(ConnectionAccount).max(CONNECTIONS_MAX),
  refusals: z.array(RefusalAccount).max(WHY_REFUSALS_MAX),
  /** Absent: none. */
  reads: z.array(WhyRead).max(WHY_MESSAGES_MAX).optional(),
  truncated: z.boolean().optional(),
});
/** The answer of a Shield. */
export type WhyReport = z.output<typeof WhyReport>;
export { CONNECTIONS_MAX as WHY_CONNECTIONS_MAX };

/** The most messages of a room that one Shield reports: the first ones since the requested time. */
export const WHY_ROOM_MAX = 10_000;

/** The messages of a room that every Shield is asked for: what one has received, another should have, too. */
export const WhyRoomAsked = z.strictObject({ tenant: Id, room: Id, since_ms: Time, ...AskerClock });

/** The messages of a room that a Shield has received. */
export const WhyRoom = z.strictObject({
  ...Reach,
  /** Time of receipt, offset, `X-Twist-ID`, and whether it was left out for all subscribers. */
  rows: z.array(z.tuple([Time, Count, Text, z.boolean()])).max(WHY_ROOM_MAX),
  truncated: z.boolean().optional(),
});
/** The messages of a room that a Shield has received. */
export type WhyRoom = z.output<typeof WhyRoom>;
