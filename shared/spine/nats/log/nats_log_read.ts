/**
 * Reading one room out of a stream: forward, backward, the newest of many rooms, and the proof that nothing is missing.
 * Direct reads come from any replica, which may lag; reads that must be current go to the leader. A room's messages are
 * removed oldest first, by age, the size limit or a trim.
 */
import { LOG_OFFSET_HEADER } from "../../contract/durable_log.ts";
import type { LogPage, LogRead, LogReadBack } from "../../contract/durable_log.ts";
import { askDirect, type DirectAnswer, type DirectQuestion } from "./nats_log_direct.ts";
import type { LogApi } from "./nats_log_api.ts";
import type { Inbox } from "./nats_log_inbox.ts";
import type { Samples } from "./nats_log_clock.ts";
import { fromDirect } from "./nats_log_message.ts";
import { newestBelow } from "./nats_log_back.ts";
import { removedBelow } from "./nats_log_config.ts";

/** Rooms in one request for their newest messages. The server answers at most 1,024 at once. */
const HEADS_BATCH = 256;
/** How far the clocks of two servers of a cluster may be apart. */
const CLOCK_SKEW_MS = 60_000;

/** A stream to read, with a timeout for each request. */
export interface Reading {
  readonly api: LogApi;
  readonly inbox: Inbox;
  readonly stream: string;
  readonly timeout_ms: number;
  /** The known offsets of the stream by time. */
  readonly samples: Samples;
  purgedThrough(subject: string): number;
  /** As `removedBelow`, for one tenant of a shared stream; absent: the stream's own value. */
  readonly removed?: () => Promise<number>;
}

/** One direct read. */
export function direct(reading: Reading, question: DirectQuestion): Promise<DirectAnswer> {
  const { api, inbox, stream, timeout_ms } = reading;
  return askDirect(api.link, inbox, stream, question, timeout_ms);
}

/** As `DurableLog.read`, of the room with this subject. */
export async function readForward(
  reading: Reading,
  subject: string,
  { after, limit, max_bytes }: LogRead,
): Promise<LogPage> {
  // Begins at `after` itself: if that message exists, nothing after it was removed.
  const from = { next_by_subj: subject, max_bytes };
  let answer = await direct(reading, { ...from, seq: Math.max(1, after), batch: limit + 1 });
  const messages = answer.messages.map(fromDirect);
  const anchored = messages[0]?.offset === after;
  if (anchored) messages.shift();
  if (messages.length === 0 && answer.pending > 0) {
    answer = await direct(reading, { ...from, seq: after + 1, batch: limit });
    messages.push(...answer.messages.map(fromDirect));
  }
  const more = answer.pending > 0 || messages.length > limit;
  messages.length = Math.min(messages.length, limit);
  const complete = anchored || await isWhole(reading, subject, after);
  return { stream: reading.stream, messages, complete, more };
}

/** True if the leader proves that no message of the room above `after` has been removed. */
async function isWhole(
  { api, stream, timeout_ms, samples, removed, purgedThrough }: Reading,
  subject: string,
  after: number,
): Promise<boolean> {
  const [oldest, { state, config, ts }] = await Promise.all([
    api.message(stream, subject, "oldest", timeout_ms),
    api.info(stream, timeout_ms, subject),
  ]);
  if (state.last_seq <= after) return true;
  // The page came from a replica that may have expired a message earlier than the leader.
  const soon_ms = config.max_age <= 0
    ? -Infinity
    : Date.parse(ts) - config.max_age / 1e6 + CLOCK_SKEW_MS;
  if (oldest !== undefined && oldest.seq <= after) return Date.parse(oldest.time) > soon_ms;
  // Age removes the oldest messages of the whole stream.
  const first_ms = state.messages > 0 ? Date.parse(state.first_ts) : Infinity;
  const untouched = state.first_seq <= after + 1 && first_ms > soon_ms;
  if (untouched && (state.num_deleted ?? 0) === 0) return true;
  if (!untouched && (samples.since(after) ?? -Infinity) <= soon_ms) return false;
  if (after < removedBelow(config)) return false;
  // Checked last: removals are recorded before they happen.
  if (removed !== undefined && after < await removed()) return false;
  if (after < purgedThrough(subject)) return false;
  // A room below its size limit has lost nothing above `after` to it, unless age or a trim removed messages later; that
  // is excluded above.
  const limit = config.max_msgs_per_subject;
  return limit <= 0 || (state.subjects?.[subject] ?? 0) < limit;
}

/** As `DurableLog.readBack`, of the room with this subject. */
export async function readBackward(
  reading: Reading,
  subject: string,
  { before, limit, max_bytes }: LogReadBack,
): Promise<LogPage> {
  const { api, stream, timeout_ms } = reading;
  const newest = await api.message(stream, subject, "newest", timeout_ms);
  if (newest === undefined) return { stream, messages: [], complete: false, more: false };
  const end = Math.min(before === 0 ? Infinity : before, newest.seq + 1);
  const found = await newestBelow({
    count: async (from) => {
      const { first, count } = await countFrom(reading, subject, from);
      return first === undefined ? undefined : { first, count };
    },
    read: async (from) => {
      const answer = await direct(reading, {
        next_by_subj: subject,
        seq: from,
        batch: limit,
        max_bytes,
      });
      return { messages: answer.messages.map(fromDirect), more: answer.pending > 0 };
    },
    end,
    limit,
    max_bytes,
  });
  if (newest.seq < end && found.messages.at(-1)?.offset !== newest.seq) {
    // It has been removed meanwhile, or the replica that answered does not have it yet.
    const { messages: [there] } = await direct(reading, probe(subject, newest.seq));
    const removed = there !== undefined && offsetOf(there) > newest.seq;
    if (!removed) throw new Error("the replicas of the log are behind");
  }
  return { stream, ...found, complete: false };
}

/** The number of messages of the subject from this offset on, and the offset of the first. */
export async function countFrom(
  reading: Reading,
  subject: string,
  from: number,
): Promise<{ first: number | undefined; count: number }> {
  const { messages: [first], pending } = await direct(reading, probe(subject, Math.max(1, from)));
  if (first === undefined) return { first, count: 0 };
  return { first: offsetOf(first), count: pending + 1 };
}

const probe = (subject: string, seq: number): DirectQuestion => ({
  next_by_subj: subject,
  seq,
  batch: 1,
  max_bytes: 1,
});

function offsetOf(message: DirectAnswer["messages"][number]): number {
  return Number(message.headers[LOG_OFFSET_HEADER] ?? "");
}

/** The offset of the newest message by subject; subjects without messages are left out. */
export async function readHeads(
  reading: Reading,
  subjects: readonly string[],
): Promise<Map<string, number>> {
  const heads = new Map<string, number>();
  for (let at = 0; at < subjects.length; at += HEADS_BATCH) {
    let open = [...new Set(subjects.slice(at, at + HEADS_BATCH))];
    while (open.length > 0) {
      const answer = await direct(reading, { multi_last: open, batch: open.length });
      for (const { headers } of answer.messages) {
        heads.set(headers["Nats-Subject"] ?? "", Number(headers[LOG_OFFSET_HEADER] ?? ""));
      }
      // Large messages end an answer early.
      if (answer.pending === 0 || answer.messages.length === 0) break;
      open = open.filter((subject) => !heads.has(subject));
    }
  }
  return heads;
}
