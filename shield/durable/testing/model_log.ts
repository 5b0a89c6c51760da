/**
 * For tests: a log of one tenant as plain arrays, whose clock and staleness a test decides. The Spine engines have the
 * real ones; both follow `DurableLog`. Not part of the Shield.
 */
import type {
  Appended,
  DurableLog,
  LogMessage,
  LogPage,
  LogRead,
  LogReadBack,
  NewMessage,
  RoomHead,
  RoomsPage,
  RoomsRead,
} from "../../../shared/spine/contract/durable_log.ts";
import { appendInTurn } from "../../../shared/spine/nats/log/nats_log_tenant.ts";
import type { Lives } from "../../../shared/spine/contract/lives.ts";

interface Stored extends LogMessage {
  readonly room_id: string;
}

/** A log in memory; reads and trims are counted. */
export class ModelLog implements DurableLog {
  readonly tenant_id = "acme";
  stream = "LOG_acme_1";
  readonly is_proven = true;
  /** The log's clock, in Unix ms. */
  now_ms = 1_767_323_045_000;
  /** Requested heads, pages and trims. */
  requests = 0;
  trimmed = 0;
  /** The number of newest messages that reads do not return, as on a stale replica. */
  behind = 0;
  #messages: Stored[] = [];
  #offset = 0;

  get lives(): Lives {
    return [{ name: this.stream, first: 0 }];
  }

  lifeOf(stream: string): string {
    return stream;
  }

  /** Stores a message at once, at the log's clock. */
  put(room_id: string, payload: Uint8Array): number {
    const offset = ++this.#offset;
    this.#messages.push({ room_id, offset, time_ms: this.now_ms, payload, headers: {} });
    return offset;
  }

  append(room_id: string, payload: Uint8Array): Promise<Appended> {
    const offset = this.put(room_id, payload.slice());
    return Promise.resolve({ offset, duplicate: false, stream: this.stream });
  }

  appendAll(
    room_id: string,
    messages: readonly NewMessage[],
    expected_last: number,
  ): Promise<Appended> {
    return appendInTurn(this, room_id, messages, expected_last);
  }

  head(room_id: string): Promise<RoomHead> {
    this.requests++;
    const last = this.of(room_id).at(-1);
    return Promise.resolve({ stream: this.stream, last, log_offset: this.#offset });
  }

  heads(room_ids: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const found = room_ids.map((room) => [room, this.of(room).at(-1)?.offset] as const);
    return Promise.resolve(
      new Map(found.filter((pair): pair is [string, number] => pair[1] !== undefined)),
    );
  }

  async rooms({ prefix, after, limit }: RoomsRead): Promise<RoomsPage> {
    await undefined;
    const all = [...new Set(this.#messages.map(({ room_id }) => room_id))].sort()
      .filter((room_id) => room_id > after && room_id.startsWith(prefix));
    return { rooms: all.slice(0, limit), more: all.length > limit };
  }

  async read(room_id: string, { after, limit, max_bytes }: LogRead): Promise<LogPage> {
    this.requests++;
    await undefined;
    const all = this.#visible(room_id).filter(({ offset }) => offset > after);
    const messages = fitting(all.slice(0, limit), max_bytes);
    const { stream } = this;
    return { stream, messages, complete: false, more: messages.length < all.length };
  }

  async readBack(room_id: string, { before, limit, max_bytes }: LogReadBack): Promise<LogPage> {
    this.requests++;
    await undefined;
    const all = this.#visible(room_id).filter(({ offset }) => before === 0 || offset < before);
    const messages = fitting(all.toReversed().slice(0, limit), max_bytes).toReversed();
    const { stream } = this;
    return { stream, messages, complete: false, more: messages.length < all.length };
  }

  async oldest(room_id: string): Promise<number> {
    await undefined;
    return this.#visible(room_id)[0]?.offset ?? 0;
  }

  async count(room_id: string, from: number): Promise<number> {
    await undefined;
    return this.#visible(room_id).filter(({ offset }) => offset >= from).length;
  }

  async trim(room_id: string, keep: number): Promise<void> {
    this.trimmed++;
    await undefined;
    const kept = new Set(keep === 0 ? [] : this.of(room_id).slice(-keep));
    this.#messages = this.#messages.filter((one) => one.room_id !== room_id || kept.has(one));
  }

  async erase(room_id: string, offsets: readonly number[]): Promise<number> {
    await undefined;
    const before = this.#messages.length;
    this.#messages = this.#messages.filter((one) =>
      one.room_id !== room_id || !offsets.includes(one.offset)
    );
    return before - this.#messages.length;
  }

  async erased(): Promise<number> {
    await undefined;
    return 0;
  }

  forgetNames(): Promise<void> {
    return Promise.resolve();
  }

  retain(): Promise<void> {
    return Promise.resolve();
  }

  status(): ReturnType<DurableLog["status"]> {
    return Promise.resolve({
      stream: this.stream,
      messages: this.#messages.length,
      bytes: 0,
      log_offset: this.#offset,
      history_size: 1_000_000,
      history_ttl_seconds: 1_000_000,
      replicas: undefined,
    });
  }

  now(): number {
    return this.now_ms;
  }

  shownTime(): number {
    return this.now();
  }

  deletionTime(): number {
    return this.now_ms;
  }

  of(room_id: string): LogMessage[] {
    return this.#messages.filter((one) => one.room_id === room_id);
  }

  #visible(room_id: string): LogMessage[] {
    const all = this.of(room_id);
    return all.slice(0, all.length - this.behind);
  }
}

function fitting(messages: readonly LogMessage[], max_bytes: number): LogMessage[] {
  let size_bytes = 0;
  const end = messages.findIndex(({ payload }) => (size_bytes += payload.length) > max_bytes);
  return messages.slice(0, end < 0 ? messages.length : Math.max(1, end));
}
