/**
 * For tests: the log of one room as a model in virtual time. Its calls take time, fail, and are answered by stale
 * replicas, and its live messages get lost, repeated and reordered. One seed determines everything. It promises exactly
 * what `DurableLog` does. Not part of the Shield.
 */
import { setImmediate } from "node:timers";
import {
  type Appended,
  type DurableLog,
  LOG_OFFSET_HEADER,
  LOG_PREVIOUS_HEADER,
  LOG_STREAM_HEADER,
  LOG_TIME_HEADER,
  type LogMessage,
  type LogPage,
  type LogRead,
  type LogReadBack,
  type LogStatus,
  type NewMessage,
  type RoomHead,
  type RoomsPage,
} from "../../../shared/spine/contract/durable_log.ts";
import { appendInTurn } from "../../../shared/spine/nats/log/nats_log_tenant.ts";
import type { Lives } from "../../../shared/spine/contract/lives.ts";
import type { SpineMessage } from "../../../shared/spine/contract/spine_message.ts";
import type { RetryClock } from "../log/log_calls.ts";

/** Virtual time: only due events happen, and then everything that follows from them. */
export class SimClock implements RetryClock {
  now_ms = 0;
  readonly random: () => number;
  readonly #timers = new Map<number, { readonly due_ms: number; readonly run: () => void }>();
  #ids = 0;

  constructor(random: () => number) {
    this.random = random;
  }

  now(): number {
    return this.now_ms;
  }

  after(delay_ms: number, run: () => void): () => void {
    const id = ++this.#ids;
    this.#timers.set(id, { due_ms: this.now_ms + delay_ms, run });
    return () => void this.#timers.delete(id);
  }

  async advance(ms: number): Promise<void> {
    const until_ms = this.now_ms + ms;
    for (;;) {
      await settled();
      let next: [number, { due_ms: number; run: () => void }] | undefined;
      for (const timer of this.#timers) {
        if (timer[1].due_ms <= until_ms && timer[1].due_ms < (next?.[1].due_ms ?? Infinity)) {
          next = timer;
        }
      }
      if (next === undefined) break;
      this.#timers.delete(next[0]);
      this.now_ms = Math.max(this.now_ms, next[1].due_ms);
      next[1].run();
    }
    this.now_ms = until_ms;
    await settled();
  }
}

/** Resolves once every promise that can settle has settled. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** The faults of a simulated log; each is a probability, or ms. */
export interface Faults {
  readonly lost: number;
  readonly repeated: number;
  /** The longest delay of a live message, in ms: messages can overtake each other. */
  readonly delay_ms: number;
  readonly failing: number;
  /** The probability that a read is answered by a replica that lacks the newest messages. */
  readonly behind: number;
}

/** No faults. */
export const NO_FAULTS: Faults = { lost: 0, repeated: 0, delay_ms: 0, failing: 0, behind: 0 };

const START_MS = 1_767_323_045_000;

/** A simulated log with one observed room. */
export class SimLog implements DurableLog {
  readonly tenant_id = "acme";
  readonly room_id = "room";
  is_proven = true;
  history_ttl_seconds = 86_400;
  /** The most messages in one page, whatever is requested. */
  page_messages = Infinity;
  faults: Faults = NO_FAULTS;
  /** Every message of the room that each stream has ever stored. */
  readonly truth = new Map<string, number[]>();
  /** The number of calls by kind. */
  readonly calls = { head: 0, read: 0, readBack: 0, heads: 0, oldest: 0, erased: 0, status: 0 };
  readonly #clock: SimClock;
  readonly #deliver: (message: SpineMessage) => void;
  #incarnation = 1;
  #messages: LogMessage[] = [];
  #offset = 0;
  /** The highest offset that was removed. */
  #removed = 0;
  #erased = 0;

  constructor(clock: SimClock, deliver: (message: SpineMessage) => void) {
    this.#clock = clock;
    this.#deliver = deliver;
    this.truth.set(this.stream, []);
  }

  get stream(): string {
    return `LOG_acme_${this.#incarnation}`;
  }

  get lives(): Lives {
    return [{ name: this.stream, first: 0 }];
  }

  lifeOf(stream: string): string {
    return stream;
  }

  get last_offset(): number {
    return this.#messages.at(-1)?.offset ?? 0;
  }

  get log_offset(): number {
    return this.#offset;
  }

  get kept(): readonly LogMessage[] {
    return this.#messages;
  }

  now(): number {
    return START_MS + this.#clock.now_ms;
  }

  shownTime(): number {
    return this.now();
  }

  deletionTime(): number {
    return this.now();
  }

  /** Stores one message, after `others` of other rooms; its payload has its offset. */
  put(others = 0): number {
    const { stream } = this;
    this.#expire();
    const offset = this.#offset += 1 + others;
    const previous = this.last_offset;
    const payload = new TextEncoder().encode(`${stream}/${offset}`);
    const message = { offset, time_ms: this.now(), payload, headers: {} };
    this.#messages.push(message);
    this.truth.get(stream)?.push(offset);
    const live: SpineMessage = {
      subject: `in.t.acme.r.${this.room_id}`,
      payload,
      headers: {
        [LOG_STREAM_HEADER]: stream,
        [LOG_OFFSET_HEADER]: String(offset),
        [LOG_PREVIOUS_HEADER]: String(previous),
        [LOG_TIME_HEADER]: new Date(message.time_ms).toISOString(),
      },
      respond() {},
    };
    const copies = this.#happens(this.faults.repeated) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      if (this.#happens(this.faults.lost)) continue;
      const delay_ms = this.#clock.random() * this.faults.delay_ms;
      this.#clock.after(delay_ms, () => this.#deliver(live));
    }
    return offset;
  }

  /** Assigns offsets as other rooms of the tenant do. */
  skip(numbers: number): void {
    this.#offset += numbers;
  }

  /** Removes all but the newest `keep`; at least one stays, as with every limit but age. */
  remove(keep: number): void {
    this.#remove(Math.max(keep, 1));
  }

  /** Removes messages as an operator does, perhaps all of them. */
  purge(keep: number): void {
    this.#remove(keep);
  }

  erase(_room_id: string, offsets: readonly number[]): Promise<number> {
    const gone = this.#messages.filter(({ offset }) => offsets.includes(offset));
    this.#erased = Math.max(this.#erased, ...gone.map(({ offset }) => offset));
    this.#messages = this.#messages.filter((one) => !gone.includes(one));
    return Promise.resolve(gone.length);
  }

  erased(): Promise<number> {
    return this.#call("erased", () => this.#erased);
  }

  forgetNames(): Promise<void> {
    return Promise.resolve();
  }

  #remove(keep: number): void {
    const removed = this.#messages.slice(0, Math.max(this.#messages.length - keep, 0));
    this.#removed = removed.at(-1)?.offset ?? this.#removed;
    this.#messages = this.#messages.slice(removed.length);
  }

  /** The log loses its newest messages, as after a power cut without a flush, and assigns their offsets again. */
  rewind(messages: number): void {
    this.#messages = this.#messages.slice(0, this.#messages.length - messages);
    this.#offset = this.last_offset;
  }

  /** Removes expired messages, in virtual time. */
  #expire(): void {
    const due_ms = this.now() - (2 * this.history_ttl_seconds + 120) * 1_000;
    this.#remove(this.#messages.filter(({ time_ms }) => time_ms >= due_ms).length);
  }

  /** Loses the log and creates another one in its place. */
  recreate(): void {
    this.#incarnation++;
    this.#messages = [];
    this.#offset = 0;
    this.#removed = 0;
    this.#erased = 0;
    this.truth.set(this.stream, []);
  }

  append(): Promise<Appended> {
    return Promise.resolve({ offset: this.put(), duplicate: false, stream: this.stream });
  }

  appendAll(
    room_id: string,
    messages: readonly NewMessage[],
    expected_last: number,
  ): Promise<Appended> {
    return appendInTurn(this, room_id, messages, expected_last);
  }

  head(): Promise<RoomHead> {
    return this.#call("head", () => {
      const last = this.#messages.at(-1);
      return { stream: this.stream, last, log_offset: this.#offset, erased: this.#erased };
    });
  }

  heads(room_ids: readonly string[]): Promise<ReadonlyMap<string, number>> {
    return this.#call("heads", () => {
      const last = this.#visible().at(-1)?.offset;
      const has_room = last !== undefined && room_ids.includes(this.room_id);
      return new Map(has_room ? [[this.room_id, last]] : []);
    });
  }

  async rooms(): Promise<RoomsPage> {
    await undefined;
    return { rooms: this.#messages.length === 0 ? [] : [this.room_id], more: false };
  }

  read(_room_id: string, { after, limit, max_bytes }: LogRead): Promise<LogPage> {
    return this.#call("read", () => {
      const all = this.#visible().filter(({ offset }) => offset > after);
      const messages = fitting(all.slice(0, Math.min(limit, this.page_messages)), max_bytes);
      const erased = after < this.#erased ? { erased: this.#erased } : {};
      const complete = after >= Math.max(this.#removed, this.#erased);
      const more = messages.length < all.length;
      return { stream: this.stream, messages, complete, more, ...erased };
    });
  }

  readBack(_room_id: string, { before, limit }: LogReadBack): Promise<LogPage> {
    return this.#call("readBack", () => {
      const all = this.#visible().filter(({ offset }) => before === 0 || offset < before);
      const messages = all.slice(-limit);
      return { stream: this.stream, messages, complete: false, more: messages.length < all.length };
    });
  }

  oldest(): Promise<number> {
    return this.#call("oldest", () => this.#visible()[0]?.offset ?? 0);
  }

  count(_room_id: string, from: number): Promise<number> {
    return Promise.resolve(this.#messages.filter(({ offset }) => offset >= from).length);
  }

  trim(_room_id: string, keep: number): Promise<void> {
    this.remove(keep);
    return Promise.resolve();
  }

  retain(): Promise<void> {
    return Promise.resolve();
  }

  status(): Promise<LogStatus> {
    return this.#call("status", () => {
      const { stream, log_offset, history_ttl_seconds } = this;
      const retention = { history_size: 1, history_ttl_seconds, replicas: undefined };
      return { ...retention, stream, log_offset, messages: this.#messages.length, bytes: 0 };
    });
  }

  #happens(probability: number): boolean {
    return probability > 0 && this.#clock.random() < probability;
  }

  /** Answers a call after a while, with the state of some moment between the call and its end. */
  async #call<T>(kind: keyof SimLog["calls"], answer: () => T): Promise<T> {
    this.calls[kind]++;
    await this.#wait();
    this.#expire();
    const answered = answer();
    await this.#wait();
    if (this.#happens(this.faults.failing)) throw new Error("the log is missing");
    return answered;
  }

  #wait(): Promise<void> {
    const delay_ms = this.#clock.random() * this.faults.delay_ms;
    if (delay_ms === 0) return Promise.resolve();
    return new Promise((resolve) => void this.#clock.after(delay_ms, resolve));
  }

  #visible(): LogMessage[] {
    if (!this.#happens(this.faults.behind)) return this.#messages;
    const lacking = Math.floor(this.#clock.random() * 4);
    return this.#messages.slice(0, Math.max(this.#messages.length - lacking, 0));
  }
}

function fitting(messages: readonly LogMessage[], max_bytes: number): LogMessage[] {
  let bytes = 0;
  return messages.filter(({ payload }, index) => {
    bytes += payload.length;
    return index === 0 || bytes <= max_bytes;
  });
}
