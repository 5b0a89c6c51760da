/**
 * Appends under way: sent without a nats.js promise for each, bounded, timed out by one timer, and rejected when the
 * connection is lost. Messages that may have been stored are never resent; messages that JetStream certainly did not
 * store are resent once, in order. Atomic batches (JetStream 2.12) name batch and sequence in each message, and only
 * the last one is answered.
 */
import { ArqonError, type Reason } from "@arqon/proto";
import { SequenceTable } from "../../../containers/sequence_table.ts";
import { type Appended, LOG_REMEDY, type LogLimits } from "../../contract/durable_log.ts";
import { PendingAppends } from "../../contract/pending.ts";
import { BLOCK_BYTES, headerBlock, isFromNobody, readPubAck } from "../connection/nats_frames.ts";
import type { MessageFrame, PubAck } from "../connection/nats_frames.ts";
import type { Link } from "../connection/nats_link.ts";
import { CODES } from "../connection/nats_errors.ts";
import type { Inbox, Receiver } from "./nats_log_inbox.ts";
import type { Outgoing, Wire } from "../connection/nats_wire.ts";

/** The waiting appends of one log. `PendingAppends` bounds their number. */
export class HeldAppends {
  #retries: { readonly append: Append; readonly why: Missed }[] = [];
  #queue: Append[] = [];

  get is_empty(): boolean {
    return this.#retries.length === 0 && this.#queue.length === 0;
  }

  /** Queues an append that has not been sent yet. */
  queue(append: Append): void {
    this.#queue.push(append);
  }

  /** Queues an append that was sent and not stored: it goes before the unsent ones. */
  retry(append: Append, why: Missed): void {
    this.#retries.push({ append, why });
  }

  /** Releases all, in the order of their calls; an append that `end` queues again keeps waiting. */
  letGo(end: (append: Append, why: Missed | undefined) => void): void {
    const retries = this.#retries.sort((left, right) => left.append.order - right.append.order);
    const queue = this.#queue;
    this.#retries = [];
    this.#queue = [];
    for (const { append, why } of retries) end(append, why);
    for (const append of queue) end(append, undefined);
  }
}

/** Pause before the retry of a key whose first append is still under way on the cluster. */
const IN_PROCESS_MS = 25;

/** Header lines with the conditions of the append: message id and expected sequence. */
function conditions({ message_id, expected_last }: AppendInput): string {
  const id = message_id === undefined ? "" : `Nats-Msg-Id: ${message_id}\r\n`;
  if (expected_last === undefined) return id;
  return `${id}Nats-Expected-Last-Subject-Sequence: ${expected_last}\r\n`;
}

/** The engine's header lines of an append; sends the earlier messages of its batch. */
function ownLines(wire: Wire, input: AppendInput, stream_name: string, batch: string): string {
  const own = `Nats-Expected-Stream: ${stream_name}\r\n`;
  const when = conditions(input);
  if (input.before === undefined) return own + when;
  for (const member of membersOf(input, batch, own, when)) wire.publish(member);
  return own + lastLines(batch, input.before.length + 1);
}

/** Counts the bytes on the connection. */
export interface ByteCount {
  /** Throws `spine-unavailable` if this many more bytes exceed the share of the subject's tenant. */
  assertRoom(size_bytes: number, subject: string): void;
  /** Throws `spine-unavailable` while the server does not answer. */
  assertAnswered(): void;
  handed(size_bytes: number, subject: string): void;
}

/** Shared by the appends of all logs of a connection. */
interface AppendTools {
  readonly link: Link;
  readonly inbox: Inbox;
  readonly wire: Wire;
  readonly bytes: ByteCount;
  readonly limits: LogLimits;
}

/** Why an append was not stored although JetStream is available. */
export type Missed = "nobody" | "other stream";

/** Lets appends through, or has them wait. */
export interface AppendGate {
  /** True: appends go to `queue`. */
  readonly held: boolean;
  queue(append: Append): void;
}

/** The log as its appends use it. As a gate it is held while its stream is being found. */
export interface AppendLog extends AppendGate {
  /** The JetStream name of the stream that appends go to now. */
  readonly stream_name: string;
  /** As in `DurableLog`. */
  lifeOf(stream: string, offset: number): string;
  /** Queues an append that was not stored; it goes first once the stream is found. */
  retry(append: Append, why: Missed): void;
  /** Called when an append is sent; `settled`, when it has ended. */
  started(): void;
  settled(): void;
  /** Called when the append was stored. */
  stored(appended: Appended): void;
}

/** One append, from the call to its outcome. */
export class Append implements Receiver {
  readonly input: AppendInput;
  readonly log: AppendLog;
  readonly #lane: AppendLane;
  readonly #resolve: (appended: Appended) => void;
  readonly #reject: (error: Error) => void;
  /** The order of the calls. */
  readonly order: number;
  /** The number of its request; 0 while none is under way. */
  number = 0;
  /** Its number among the unanswered appends; 0 while it is not one. */
  sent = 0;
  deadline_ms = 0;
  /** How often JetStream answered that the stream is missing or another one. */
  misses = 0;
  /** How often it answered that the same key is still under way. */
  conflicts = 0;

  constructor(
    lane: AppendLane,
    log: AppendLog,
    input: AppendInput,
    order: number,
    settle: { resolve(appended: Appended): void; reject(error: Error): void },
  ) {
    this.#lane = lane;
    this.log = log;
    this.input = input;
    this.order = order;
    this.#resolve = settle.resolve;
    this.#reject = settle.reject;
  }

  receive(frame: MessageFrame): void {
    this.#lane.onAnswer(this, frame);
  }

  cut(): void {
    this.#lane.onCut(this);
  }

  resolve(appended: Appended): void {
    this.#lane.release(this);
    this.log.stored(appended);
    this.#resolve(appended);
  }

  refuse(reason: Reason, detail: string): void {
    this.fail(new ArqonError(reason, detail));
  }

  fail(error: Error): void {
    this.#lane.release(this);
    this.#reject(error);
  }
}

/** The appends of all logs of one connection. */
export class AppendLane {
  readonly #tools: AppendTools;
  /** Sent and unanswered appends, in the order of their deadlines. */
  readonly #sent = new SequenceTable<Append>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #pending: PendingAppends;
  #orders = 0;
  /** Called when no append is under way. */
  readonly #idle: (() => void)[] = [];

  constructor(tools: AppendTools) {
    this.#tools = tools;
    this.#pending = new PendingAppends(tools.limits);
  }

  /** Resolves when no append is under way. */
  idle(): Promise<void> {
    if (this.#pending.messages === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Throws `log-unavailable` above the tenant's share. */
  append(gate: AppendGate, log: AppendLog, input: AppendInput): Promise<Appended> {
    const { bytes } = this.#tools;
    bytes.assertAnswered();
    bytes.assertRoom(input.wire_bytes, input.subject);
    this.#pending.take(input.tenant_id, input.payload.length);
    return new Promise((resolve, reject) => {
      const append = new Append(this, log, input, ++this.#orders, { resolve, reject });
      if (gate.held) gate.queue(append);
      else this.send(append);
    });
  }

  /** Sends it to the log's stream. An error here ends the append. */
  send(append: Append): void {
    const { link, inbox, wire, bytes } = this.#tools;
    const { input, log } = append;
    const { subject, payload } = input;
    append.number = inbox.expect(append);
    append.deadline_ms = link.monotonic() + link.request_timeout_ms;
    append.sent = this.#sent.add(append);
    log.started();
    try {
      link.assertConnected();
      const reply = inbox.replyTo(append.number);
      const own = ownLines(wire, input, log.stream_name, reply);
      wire.publish({
        subject,
        reply,
        block: headerBlock(own + input.lines),
        block_bytes: BLOCK_BYTES + own.length + input.lines_bytes,
        payload,
      });
      bytes.handed(input.wire_bytes, subject);
    } catch (error) {
      this.#unsent(append);
      append.fail(
        error instanceof ArqonError
          ? error
          : new ArqonError("spine-unavailable", "NATS took no message", { cause: error }),
      );
      log.settled();
      return;
    }
    this.#timer ??= setTimeout(() => this.#sweep(), link.request_timeout_ms);
  }

  /** Frees the bounds of an append that is no longer under way. */
  release({ input }: Append): void {
    this.#pending.release(input.tenant_id, input.payload.length);
    if (this.#pending.messages > 0) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  onCut(append: Append): void {
    this.#unsent(append);
    const { state } = this.#tools.link;
    const reason = state === "closed" ? "spine-unavailable" : "log-unavailable";
    append.refuse(reason, `the connection to NATS is ${state}; it may have been stored`);
    append.log.settled();
  }

  onAnswer(append: Append, frame: MessageFrame): void {
    this.#unsent(append);
    if (isFromNobody(frame)) this.#missed(append, "nobody");
    else this.#acknowledged(append, readPubAck(frame, append.log.stream_name));
    append.log.settled();
  }

  #acknowledged(append: Append, ack: PubAck | undefined): void {
    if (ack?.error !== undefined) return this.#refused(append, ack.error);
    if (ack === undefined || typeof ack.seq !== "number" || typeof ack.stream !== "string") {
      return append.refuse("log-unavailable", "the answer is not JetStream's");
    }
    if (!isWhole(ack.count, append.input)) {
      return append.refuse("log-unavailable", "JetStream has stored a part of a batch");
    }
    const { seq: offset, stream, duplicate = false } = ack;
    append.resolve({ offset, duplicate, stream: append.log.lifeOf(stream, offset) });
  }

  #refused(append: Append, error: NonNullable<PubAck["error"]>): void {
    const { err_code = 0, description = "JetStream refused it" } = error;
    switch (err_code) {
      case CODES.otherStream:
        return this.#missed(append, "other stream");
      case CODES.idInProcess:
        return this.#later(append);
      case CODES.wrongLast:
      case CODES.wrongLastInProcess:
        return append.refuse("version-conflict", description);
      case CODES.tooLarge:
      case CODES.headersTooLarge:
        return append.refuse("message-too-large", description);
      default: {
        const refused = batchRefusal(err_code, description);
        if (refused !== undefined) return append.fail(refused);
        const is_full = /maximum bytes/.test(description);
        const full = `the tenant's log is full (${description}); ${LOG_REMEDY}`;
        return append.refuse("log-unavailable", is_full ? full : description);
      }
    }
  }

  #missed(append: Append, why: Missed): void {
    append.misses++;
    if (append.misses === 1) return append.log.retry(append, why);
    append.refuse("log-unavailable", "its stream was lost twice");
  }

  /** Retries later: the same key is under way on the cluster and will be a duplicate. */
  #later(append: Append): void {
    const { link } = this.#tools;
    append.conflicts++;
    if (append.conflicts * IN_PROCESS_MS > link.request_timeout_ms) {
      return append.refuse("log-unavailable", "the same key is still under way");
    }
    setTimeout(() => {
      if (append.log.held) append.log.queue(append);
      else this.send(append);
    }, IN_PROCESS_MS);
  }

  #unsent(append: Append): void {
    this.#sent.take(append.sent);
    this.#tools.inbox.forget(append.number);
    append.number = append.sent = 0;
  }

  /** Stops the timeouts: the connection is lost. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #sweep(): void {
    this.#timer = undefined;
    const { link } = this.#tools;
    const now_ms = link.monotonic();
    for (const append of this.#sent.values()) {
      if (append.deadline_ms > now_ms) {
        this.#timer = setTimeout(() => this.#sweep(), append.deadline_ms - now_ms);
        return;
      }
      this.#unsent(append);
      const detail = `no answer in ${link.request_timeout_ms} ms; it may have been stored`;
      append.refuse("log-unavailable", detail);
      append.log.settled();
    }
  }
}

/** The message to store. */
export interface AppendInput {
  readonly tenant_id: string;
  readonly subject: string;
  /** Not copied here. */
  readonly payload: Uint8Array;
  /** The caller's headers, checked, as lines of a header block, and their bytes. */
  readonly lines: string;
  readonly lines_bytes: number;
  /** For the server's deduplication; undefined: none. */
  readonly message_id: string | undefined;
  /** Expected sequence of the subject's newest message, 0 for none; undefined: any. */
  readonly expected_last?: number | undefined;
  /** Messages stored directly before it, atomically with it; `expected_last` applies to the first of them. */
  readonly before?: readonly BatchMember[];
  /** Approximate bytes on the wire. */
  readonly wire_bytes: number;
}

/** JetStream's error codes that refuse a whole batch, independent of its messages. */
const REFUSED = new Set([10174, 10175, 10176, 10177, 10179, 10199, 10200, 10201, 10210]);
/** The most messages of one batch; servers accept 1,000. */
const BATCH_MESSAGES = 256;
/** Bytes of the batch headers of a message. */
export const BATCH_HEADER_BYTES = 192;
/** JetStream's API level since 2.12. */
const API_LEVEL = 2;

/** The server refused the batch as such, not its messages. */
export class BatchRefused extends Error {}

/** The error of a refused batch; undefined for other codes. */
function batchRefusal(err_code: number, description: string): BatchRefused | undefined {
  return REFUSED.has(err_code) ? new BatchRefused(description) : undefined;
}

/** Whether a server with this info can store batches. */
export const takesBatches = (info: { readonly api_lvl?: number } | undefined): boolean =>
  (info?.api_lvl ?? 0) >= API_LEVEL;

/** A message of a batch, other than the last. */
type BatchMember = Pick<AppendInput, "payload" | "lines" | "lines_bytes">;

const place = (batch: string, sequence: number): string =>
  `Nats-Batch-Id: ${batch}\r\nNats-Batch-Sequence: ${sequence}\r\n`;

/** The lines of the last message of a batch. */
function lastLines(batch: string, sequence: number): string {
  return `${place(batch, sequence)}Nats-Batch-Commit: 1\r\n`;
}

/**
 * The messages that are sent before the last one. `own` are the header lines of each, `first` further lines of the
 * first.
 */
function* membersOf(
  { before = [], subject }: AppendInput,
  batch: string,
  own: string,
  first: string,
): Generator<Outgoing> {
  for (const [at, { payload, lines, lines_bytes }] of before.entries()) {
    const all = `${own}${place(batch, at + 1)}${at === 0 ? first : ""}`;
    yield {
      subject,
      reply: "",
      payload,
      block: headerBlock(all + lines),
      block_bytes: BLOCK_BYTES + all.length + lines_bytes,
    };
  }
}

/** Whether the answer to a batch's last message confirms that all are stored. */
const isWhole = (count: number | undefined, { before }: AppendInput): boolean =>
  before === undefined || count === before.length + 1;

/** Appends parts of at most `size` messages, each after the last of the previous part. */
export async function inBatches<Message>(
  messages: readonly Message[],
  expected_last: number,
  store: (part: readonly Message[], expected_last: number) => Promise<Appended>,
  size = BATCH_MESSAGES,
): Promise<Appended> {
  let last: Appended | undefined;
  for (let at = 0; at < messages.length; at += size) {
    const part = messages.slice(at, at + size);
    last = await store(part, last?.offset ?? expected_last);
  }
  if (last === undefined) throw new TypeError("no message to append");
  return last;
}
