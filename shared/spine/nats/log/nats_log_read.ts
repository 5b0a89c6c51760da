/**
 * Reading one room out of a stream: forward, backward, the newest of many rooms, and the proof that nothing is
 * missing. Direct reads come from any replica, which may lag, with many messages for one request; reads that must be
 * current go to the leader. A room's messages are removed oldest first, by age, the size limit or a trim.
 */
import { LOG_OFFSET_HEADER } from "../../contract/durable_log.ts";
import type { LogMessage, LogPage, LogRead, LogReadBack } from "../../contract/durable_log.ts";
import { Refusal, StreamLost } from "../connection/nats_errors.ts";
import { fromDirect, type LogApi } from "./nats_log_api.ts";
import type { Inbox } from "./nats_log_inbox.ts";
import type { Samples } from "./nats_log_clock.ts";
import { removedBelow } from "./nats_log_stream.ts";
import { type Answer, isNobody, type MessageFrame, readAnswer } from "../connection/nats_frames.ts";
import type { Link } from "../connection/nats_link.ts";

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

interface Backward {
  /** The room's first message at or above `from`, and the number of messages from there on. */
  count(from: number): Promise<{ first: number; count: number } | undefined>;
  /** Messages at or above `from`, in order, at least one if there is one. */
  read(from: number): Promise<{ messages: LogMessage[]; more: boolean }>;
  /** Upper bound, exclusive. */
  readonly end: number;
  readonly limit: number;
  readonly max_bytes: number;
}

/** The newest messages in the order of their offsets, and whether there are older ones. */
interface Newest {
  readonly messages: LogMessage[];
  readonly more: boolean;
}

/** The most queries for the position; each at least halves the distance. */
const PROBES = 64;
/** The most messages of a window, as a multiple of the wanted ones. */
const SLACK = 2;

/** The newest messages below `end`. `more` is determined from the room's oldest message. */
export async function newestBelow(backward: Backward): Promise<Newest> {
  const { end, limit } = backward;
  const [all, above] = await Promise.all([backward.count(1), backward.count(end)]);
  if (all === undefined || all.first >= end) return { messages: [], more: false };
  const beyond = above?.count ?? 0;
  let low = { from: all.first, count: all.count - beyond };
  let from = await place(backward, low, beyond);
  for (;;) {
    const window = await readWindow(backward, from);
    const enough = window.messages.length >= limit || window.dropped || from <= all.first;
    if (enough) {
      const messages = window.messages.slice(-limit);
      return { messages, more: (messages[0]?.offset ?? 0) > all.first };
    }
    // Replicas lag, or messages were removed: step further back.
    low = { from: all.first, count: Infinity };
    from = Math.max(low.from, from - Math.max(limit, (end - from) * 8));
  }
}

/** A position with at least `limit` messages between it and the end, and not many more. */
async function place(
  { count, end, limit }: Backward,
  start: { from: number; count: number },
  beyond: number,
): Promise<number> {
  let low = start;
  let high = { from: end, count: 0 };
  // The first guess assumes that the stream has only this room; later ones use the measured density.
  let guess = end - limit;
  for (let probe = 0; probe < PROBES && low.count > limit * SLACK; probe++) {
    if (high.from - low.from <= limit) break;
    const from = Math.min(high.from - 1, Math.max(low.from + 1, Math.floor(guess)));
    const found = await count(from);
    const here = { from, count: (found?.count ?? 0) - beyond };
    if (here.count >= limit) low = here;
    else high = here;
    guess = next(low, high, limit, probe);
  }
  return low.from;
}

/** The next guess: by density, every other time in the middle, so that bursts do not make it slow. */
function next(
  low: { from: number; count: number },
  high: { from: number; count: number },
  limit: number,
  probe: number,
): number {
  const middle = (low.from + high.from) / 2;
  if (probe % 2 === 1) return middle;
  const wanted = limit * (1 + SLACK) / 2 - high.count;
  const share = wanted / Math.max(1, low.count - high.count);
  return high.from - (high.from - low.from) * Math.min(1, share);
}

/** All messages between the position and the end; the oldest are dropped to fit the bounds. */
async function readWindow(
  { read, end, limit, max_bytes }: Backward,
  start: number,
): Promise<{ messages: LogMessage[]; dropped: boolean }> {
  let messages: LogMessage[] = [];
  let size_bytes = 0;
  let dropped = false;
  for (let from = start; from < end;) {
    const page = await read(from);
    const wanted = page.messages.filter(({ offset }) => offset < end);
    for (const { payload } of wanted) size_bytes += payload.length;
    messages.push(...wanted);
    let drop = 0;
    for (; drop < messages.length - 1; drop++) {
      const over = messages.length - drop > limit || size_bytes > max_bytes;
      if (!over) break;
      size_bytes -= messages[drop]?.payload.length ?? 0;
    }
    if (drop > 0) {
      messages = messages.slice(drop);
      dropped = true;
    }
    const last = page.messages.at(-1)?.offset;
    if (!page.more || last === undefined || wanted.length < page.messages.length) break;
    from = last + 1;
  }
  return { messages, dropped };
}

/** The request; the names are JetStream's. */
export type DirectQuestion =
  | {
    /** The first message of the subject at or above `seq`, and those after it. */
    readonly seq: number;
    readonly next_by_subj: string;
    readonly batch: number;
    readonly max_bytes: number;
  }
  | {
    /** The same from the first message stored at or after this time (RFC 3339). */
    readonly start_time: string;
    readonly next_by_subj: string;
    readonly batch: number;
    readonly max_bytes: number;
  }
  /** The newest message of each subject. */
  | { readonly multi_last: readonly string[]; readonly batch: number };

/** The result. */
export interface DirectAnswer {
  readonly messages: readonly Answer[];
  /** Matching messages that were not sent. */
  readonly pending: number;
}

const NOTHING: DirectAnswer = { messages: [], pending: 0 };
const END_OF_BATCH = 204;
const NOT_FOUND = 404;
const PENDING_HEADER = "Nats-Num-Pending";

const encoder = new TextEncoder();

/**
 * Sends one request. Rejects with `StreamLost` if no server has the stream, with an Error if an expected message does
 * not arrive within `timeout_ms`.
 */
export function askDirect(
  link: Link,
  inbox: Inbox,
  stream: string,
  question: DirectQuestion,
  timeout_ms: number,
): Promise<DirectAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<DirectAnswer>();
  const messages: Answer[] = [];
  let answered = false;
  const patience = setInterval(() => {
    if (answered) return void (answered = false);
    clearInterval(patience);
    inbox.forget(number);
    reject(new Error(`a read was not answered in ${Math.ceil(timeout_ms)} ms`));
  }, timeout_ms);
  const receive = (frame: MessageFrame) => {
    const answer = readAnswer(frame);
    const { headers, code, description } = answer;
    if (code === 0) {
      answered = true;
      messages.push(answer);
      return;
    }
    clearInterval(patience);
    inbox.forget(number);
    if (code === END_OF_BATCH) {
      resolve({ messages, pending: Number(headers[PENDING_HEADER] ?? "0") });
    } else if (code === NOT_FOUND) {
      resolve(NOTHING);
    } else if (isNobody(answer)) {
      reject(new StreamLost("nobody has the stream"));
    } else {
      reject(new Refusal({ err_code: code, description: `${code} ${description}` }));
    }
  };
  const cut = () => {
    clearInterval(patience);
    reject(link.unavailable());
  };
  const number = inbox.expect({ receive, cut });
  link.connection.publish(
    `$JS.API.DIRECT.GET.${stream}`,
    encoder.encode(JSON.stringify(question)),
    { reply: inbox.replyTo(number) },
  );
  return promise;
}
