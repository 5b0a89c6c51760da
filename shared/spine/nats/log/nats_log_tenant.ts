/**
 * The log of one tenant on JetStream: its subjects in a stream, and its quota in a shared stream. The stream itself is
 * `nats_log.ts`.
 */
import { topOf } from "../../../containers/top.ts";
import { assertSize, headerBytes } from "../../contract/check.ts";
import type {
  Appended,
  AppendOptions,
  DurableLog,
  Kept,
  LogPage,
  LogRead,
  LogReadBack,
  LogStatus,
  NewMessage,
  Retention,
  RoomHead,
  RoomsPage,
  RoomsRead,
} from "../../contract/durable_log.ts";
import type { Lives } from "../../contract/lives.ts";
import { BLOCK_BYTES, headerLines } from "../connection/nats_frames.ts";
import type { LogTools, StreamLog } from "./nats_log.ts";
import { BATCH_HEADER_BYTES, BatchRefused, HeldAppends, inBatches } from "./nats_log_append.ts";
import type { Append, AppendGate, AppendInput } from "./nats_log_append.ts";
import { erasedThrough, eraseSome, forgetNames, inParts } from "./nats_log_erasures.ts";
import type { ErasedRooms } from "./nats_log_erasures.ts";
import { type TenantPlace, trimStream } from "./nats_log_stream.ts";
import { countFrom, readBackward, readForward, readHeads } from "./nats_log_read.ts";
import type { Reading } from "./nats_log_read.ts";
import type { TenantShare } from "./nats_log_share.ts";

/** Headers that the engine adds to an append, without the message id. */
const OWN_HEADER_BYTES = 256;

/** One tenant's log. */
export class TenantLog implements DurableLog, AppendGate {
  readonly tenant_id: string;
  readonly log: StreamLog;
  readonly #tools: LogTools;
  readonly #place: TenantPlace;
  /** Undefined: the stream is the tenant's own. */
  readonly #share: TenantShare | undefined;
  /** Appends that wait for a grant of the tenant's share. */
  readonly #waiting = new HeldAppends();
  #asking = false;
  /** The last result of `status`. */
  #seen: Promise<LogStatus> | undefined;

  constructor(
    tools: LogTools,
    tenant_id: string,
    log: StreamLog,
    place: TenantPlace,
    share: TenantShare | undefined,
  ) {
    this.#tools = tools;
    this.tenant_id = tenant_id;
    this.log = log;
    this.#place = place;
    this.#share = share;
  }

  get stream(): string {
    return this.log.stream;
  }

  get lives(): Lives {
    return this.log.lives;
  }

  get is_proven(): boolean {
    return this.log.is_proven;
  }

  lifeOf(stream: string, offset: number): string {
    return this.log.lifeOf(stream, offset);
  }

  append(room_id: string, payload: Uint8Array, options: AppendOptions = {}): Promise<Appended> {
    try {
      return this.#append(room_id, payload, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async appendAll(
    room_id: string,
    messages: readonly NewMessage[],
    expected_last: number,
  ): Promise<Appended> {
    if (messages.length < 2 || !await this.log.takesBatches()) {
      return await appendInTurn(this, room_id, messages, expected_last);
    }
    return await inBatches(messages, expected_last, async (part, behind) => {
      try {
        return await this.#appendBatch(room_id, part, behind);
      } catch (error) {
        if (!(error instanceof BatchRefused)) throw error;
        this.log.forgetBatches();
        return await appendInTurn(this, room_id, part, behind);
      }
    });
  }

  async head(room_id: string): Promise<RoomHead> {
    const head = await this.log.head(this.#place.subjectOf(room_id));
    const erased = await this.erased(room_id);
    return erased > 0 ? { ...head, erased } : head;
  }

  async heads(room_ids: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const rooms = new Map(room_ids.map((id) => [this.#place.subjectOf(id) as string, id]));
    const found = await this.log.ask((reading) => readHeads(reading, [...rooms.keys()]));
    return new Map([...found].map(([subject, offset]) => [rooms.get(subject) ?? "", offset]));
  }

  async rooms(options: RoomsRead): Promise<RoomsPage> {
    return await this.log.ask((reading) => readRooms(reading, this.#place.pattern, options));
  }

  async read(room_id: string, options: LogRead): Promise<LogPage> {
    const subject = this.#place.subjectOf(room_id);
    const page = await this.#page((reading) => readForward(reading, subject, options));
    // Checked last: erasures are recorded before they happen.
    const erased = await this.erased(room_id);
    return options.after < erased ? { ...page, complete: false, erased } : page;
  }

  async readBack(room_id: string, options: LogReadBack): Promise<LogPage> {
    const subject = this.#place.subjectOf(room_id);
    return await this.#page((reading) => readBackward(reading, subject, options));
  }

  async oldest(room_id: string): Promise<number> {
    const subject = this.#place.subjectOf(room_id);
    return await this.log.ask(async (reading) => (await countFrom(reading, subject, 1)).first ?? 0);
  }

  async count(room_id: string, from: number): Promise<number> {
    const subject = this.#place.subjectOf(room_id);
    return await this.log.ask(async (reading) => (await countFrom(reading, subject, from)).count);
  }

  async trim(room_id: string, keep: Kept): Promise<void> {
    const subject = this.#place.subjectOf(room_id);
    await this.log.ask((reading) =>
      this.#share === undefined
        ? trimStream(this.#tools, reading.stream, subject, keep, reading.timeout_ms)
        : this.#share.trim(reading, subject, keep)
    );
  }

  async erase(room_id: string, offsets: readonly number[]): Promise<number> {
    const subject = this.#place.subjectOf(room_id);
    const room = { tenant_id: this.tenant_id, room_id, subject };
    let erased = 0;
    for (const part of inParts(offsets)) {
      erased += await this.log.ask((reading) => eraseSome(this.#tools.names, reading, room, part));
    }
    return erased;
  }

  async erased(room_id: string): Promise<number> {
    this.#place.subjectOf(room_id);
    const { names } = this.#tools;
    return await this.log.ask(({ stream }) => erasedThrough(names, this.#rooms(stream), room_id));
  }

  async forgetNames(): Promise<void> {
    const { names } = this.#tools;
    await this.log.ask(({ stream }) => forgetNames(names, this.#rooms(stream)));
  }

  async retain(retention: Retention, shrink = false): Promise<void> {
    if (this.#share === undefined) return await this.log.retain(retention, shrink);
    const { common = retention } = retention;
    this.#share.tell(retention);
    if (!this.log.covers(common)) await this.log.retain(common);
  }

  async status(): Promise<LogStatus> {
    const { recent_status: recent } = this.log;
    // Hundreds of tenants share one stream and its status; no tenant gets the same cached result twice.
    this.#seen = recent !== undefined && recent !== this.#seen ? recent : this.log.status();
    return await this.#seen;
  }

  now(): number {
    return this.log.now();
  }

  shownTime(): number {
    return this.now();
  }

  deletionTime(): number {
    return this.log.now();
  }

  /** With a share every append goes to `queue`, which knows its size. */
  get held(): boolean {
    return this.#share !== undefined || this.log.held;
  }

  queue(append: Append): void {
    const share = this.#share;
    if (share === undefined) return this.log.queue(append);
    if (this.#waiting.is_empty && share.take(append.input.wire_bytes)) {
      if (this.log.held) this.log.queue(append);
      else this.#tools.lane.send(append);
      return;
    }
    this.#waiting.queue(append);
    if (!this.#asking) void this.#askForMore(share, append.input.wire_bytes);
  }

  #rooms(stream: string): ErasedRooms {
    return { stream, tenant_id: this.tenant_id, is_shared: this.#share !== undefined };
  }

  async #askForMore(share: TenantShare, size_bytes: number): Promise<void> {
    this.#asking = true;
    try {
      await share.more(this.log, size_bytes);
    } catch (error) {
      this.#asking = false;
      const refusal = error instanceof Error ? error : new Error(String(error));
      return this.#waiting.letGo((append) => append.fail(refusal));
    }
    this.#asking = false;
    this.#waiting.letGo((append) => this.queue(append));
  }

  /** Throws at once for an invalid append. */
  #append(
    room_id: string,
    payload: Uint8Array,
    { key, headers, expected_last }: AppendOptions,
  ): Promise<Appended> {
    this.log.assertTakes();
    const message_id = key === undefined ? undefined : this.#place.messageIdOf(room_id, key);
    const more_bytes = message_id?.length ?? 0;
    const input = this.#inputOf(room_id, { payload, headers: headers ?? {} }, more_bytes);
    return this.#tools.lane.append(this, this.log, { ...input, message_id, expected_last });
  }

  /** Throws when it is too large. */
  #inputOf(room_id: string, { payload, headers }: NewMessage, more_bytes: number): AppendInput {
    const subject = this.#place.subjectOf(room_id);
    const block_bytes = headerBytes(headers);
    const size_bytes = payload.length + block_bytes + OWN_HEADER_BYTES + more_bytes;
    assertSize(size_bytes, this.#tools.link.payload_bytes_max);
    return {
      tenant_id: this.tenant_id,
      subject,
      payload: payload.slice(),
      lines: headerLines(headers),
      lines_bytes: Math.max(0, block_bytes - BLOCK_BYTES),
      message_id: undefined,
      wire_bytes: size_bytes + subject.length,
    };
  }

  async #appendBatch(
    room_id: string,
    messages: readonly NewMessage[],
    expected_last: number,
  ): Promise<Appended> {
    this.log.assertTakes();
    const before = messages.map((one) => this.#inputOf(room_id, one, BATCH_HEADER_BYTES));
    const wire_bytes = before.reduce((sum, one) => sum + one.wire_bytes, 0);
    const last = before.pop();
    if (last === undefined) throw new TypeError("no message to append");
    const batch = before.length === 0 ? {} : { before };
    return await this.#tools.lane.append(this, this.log, {
      ...last,
      ...batch,
      expected_last,
      wire_bytes,
    });
  }

  async #page(ask: (reading: Reading) => Promise<LogPage>): Promise<LogPage> {
    const removed = this.#share?.removed;
    return await this.log.ask(async (reading) => {
      // Read before the request: later changes are not part of the page.
      const { stream } = this;
      const own = removed === undefined ? reading : { ...reading, removed };
      return { ...await ask(own), stream };
    });
  }
}

/** Rooms of a tenant whose log's subjects match `pattern`, in the order of their names. */
export async function readRooms(
  { api, stream, timeout_ms }: Reading,
  pattern: string,
  { prefix, after, limit }: RoomsRead,
): Promise<RoomsPage> {
  // Only the last token of a tenant's pattern is open: it is the room.
  const room_at = pattern.length - 1;
  let rooms: readonly string[] = [];
  for await (const subjects of api.subjects(stream, pattern, timeout_ms)) {
    const { items } = await topOf(eachOnce(rooms, subjects, room_at), {
      limit: limit + 1,
      accept: (room_id) => room_id > after && room_id.startsWith(prefix),
      score: () => 0,
      name: (room_id) => room_id,
    });
    rooms = items;
  }
  return { rooms: rooms.slice(0, limit), more: rooms.length > limit };
}

/** Those rooms, and others of the subjects. */
function* eachOnce(rooms: readonly string[], subjects: readonly string[], room_at: number) {
  const known = new Set(rooms);
  yield* rooms;
  for (const subject of subjects) {
    const room_id = subject.slice(room_at);
    if (!known.has(room_id)) yield room_id;
  }
}

/** As `DurableLog.appendAll`, with one request for each message. */
export function appendInTurn(
  log: Pick<DurableLog, "append">,
  room_id: string,
  messages: readonly NewMessage[],
  expected_last: number,
): Promise<Appended> {
  return inBatches(messages, expected_last, ([one], expected_last) => {
    const { payload, headers = {} } = one as NewMessage;
    return log.append(room_id, payload, { headers, expected_last });
  }, 1);
}
