/**
 * The history of a durable room, for clients that may subscribe to it: the command `history.get`, which the Shield
 * answers itself, and the parts shared with `capability.ts`. `history_window.ts` selects the messages of a page.
 */
import { ArqonError, encodeMsgAt, encodeTextMessage, readRouted, writeHistory } from "@arqon/proto";
import type { Ack, ScannedEnvelope } from "@arqon/proto";
import type { Config } from "../../../shared/config/schema.ts";
import type { DurableLog, LogMessage } from "../../../shared/spine/contract/durable_log.ts";
import { requireGrant, requireTenant } from "../../auth/authorize.ts";
import type { BanCheck } from "../../auth/bans.ts";
import type { OwnCommands } from "../../message/command.ts";
import { EMPTY_ACK } from "../../message/request_ref.ts";
import type { NoteRead, ReadMeter } from "../../message/logs.ts";
import { requireRoomId } from "../../../shared/subjects/subject.ts";
import type { Caller } from "../../message/caller.ts";
import type { RoomClasses } from "../../../shared/rooms/classes.ts";
import { judgedRoomOf } from "../../../shared/rooms/reserved.ts";
import type { RoomClass } from "../../../shared/rooms/room_class.ts";
import { roomEpoch } from "../../../shared/rooms/epoch.ts";
import type { Filters } from "../../filter/filters.ts";
import { HISTORY_GET, isProtobufType, rangeOfData } from "./history_query.ts";
import type { HistoryQuestion, HistoryRange } from "./history_query.ts";
import { FairQueue } from "../../../shared/turns/fair_queue.ts";
import { slice } from "../../../shared/turns/slices.ts";
import { type HistoryPage, type HistoryRoom, readHistory, TrimMemory } from "./history_window.ts";
import type { DurableStats } from "../log/stats.ts";
import type { Policies } from "../../message/gates.ts";
import { MessageView, type ReadMapped } from "../../../shared/filter/message_view.ts";
import type { Filter } from "../../fanout/filters.ts";
import type { FilterShares } from "../../filter/shares.ts";
import { readable } from "../../../shared/spine/contract/read_page.ts";

/** The dependencies of `createHistory`. */
export interface HistoryContext {
  readonly logs: { of(tenant_id: string): Promise<DurableLog> };
  readonly classes: Pick<RoomClasses, "of">;
  readonly overseer: Pick<Policies, "onSubscribe">;
  readonly bans: BanCheck;
  readonly limits: Pick<Config["limits"], "history_messages" | "unsent_bytes">;
  readonly stats: Pick<DurableStats, "read">;
  readonly filters: Pick<Filters, "of" | "ofClass" | "shares" | "mapped">;
  /** Records what users read; absent: not recorded. */
  readonly noteRead?: NoteRead | undefined;
  /** Counts reads, and may refuse them; absent: not counted. */
  readonly reads?: ReadMeter | undefined;
}

/** The extent of a durable room, within its class's retention. */
interface RoomExtent {
  /** Messages that history can show. */
  readonly messages: number;
  /** Offset of the oldest of these messages; undefined: there is none. */
  readonly first_offset: number | undefined;
  /** Offset of the newest message that the log has; 0: there is none. */
  readonly last_offset: number;
  readonly epoch: string;
}

/** Answers questions about the history of rooms; there is one for each process. */
export interface History {
  /**
   * Answers with a page of the room's history. `ask` is called once every other check has passed. Rejects with a
   * refusal, or as the log rejects.
   */
  answer(caller: Caller, room_id: string, ask: () => HistoryQuestion): Promise<HistoryAnswer>;
  /** Returns the bytes of an answer, and records that the caller has read it. */
  give(
    caller: Caller,
    room_id: string,
    answer: HistoryAnswer,
    is_protobuf: boolean,
  ): Promise<Uint8Array>;
  /** Answers the command `history.get`, which rejects as `answer` does. */
  readonly own: OwnCommands;
  /**
   * Answers an operator, without checks of grants, policies or bans. Rejects with `not-durable`, or as the log rejects.
   */
  read(tenant_id: string, room_id: string, range: HistoryRange): Promise<HistoryAnswer>;
  /** The extent of a room, for an operator. Rejects as `read` does. */
  extent(tenant_id: string, room_id: string): Promise<RoomExtent>;
  readonly limits: HistoryContext["limits"];
}

/** The approximate size of the largest answer, in bytes; never more than half of a connection's backlog. */
const ANSWER_BYTES = 1_048_576;
const READS_MAX = 32;
const READS_WAITING_MAX = 10_000;

/** Makes the history of a process. All its answers share their reads of the logs. */
export function createHistory(context: HistoryContext): History {
  const { limits } = context;
  const bounds = { running_max: READS_MAX, waiting_max: READS_WAITING_MAX };
  const reads = new SharedReads<HistoryAnswer>(new FairQueue(bounds));
  const trims = new TrimMemory();
  const shared = (room: ClassedRoom, range: HistoryRange) => {
    const { tenant_id, room_id, room_class: { history_size, history_ttl_seconds } } = room;
    const key = JSON.stringify([tenant_id, room_id, history_size, history_ttl_seconds, range]);
    return reads.run(tenant_id, key, () => readRoom(context, trims, room, range));
  };
  const answer: History["answer"] = async (caller, room_id, ask) => {
    const room_class = await admitHistory(context, caller, room_id);
    const { tenant_id } = caller.identity;
    let is_begun = false;
    const read = (range: HistoryRange) => {
      context.reads?.page(caller.identity, room_class.pattern, is_begun);
      is_begun = true;
      return shared({ tenant_id, room_id, room_class }, range);
    };
    const { filter, ...range } = ask();
    const own = context.filters.of(tenant_id, filter, room_id);
    const of_class = context.filters.ofClass(room_class, caller.identity);
    const filters = [of_class, own].filter((one) => !!one);
    if (filters.length === 0) return await read(range);
    const paid = { tenant_id, shares: context.filters.shares };
    const mapped = context.filters.mapped(tenant_id, room_id);
    return await readFiltered(read, range, filters, paid, mapped);
  };
  const give: History["give"] = async (caller, room_id, found, is_protobuf) => {
    const bytes = await (is_protobuf ? found.protobuf() : found.json());
    // Many callers may have waited for the same answer, and each of them writes it.
    await slice(caller.identity.tenant_id);
    const offsets = found.offsetsIn(is_protobuf ? "protobuf" : "json");
    const page = { caller, room_id, offsets, is_whole: !found.is_filtered };
    context.noteRead?.({ ...page, how: "history" });
    const { identity } = caller;
    const { pattern } = context.classes.of(identity.tenant_id, room_id);
    context.reads?.give(identity, pattern, bytes.length);
    return bytes;
  };
  const command: ReturnType<OwnCommands> = (caller, envelope) =>
    historyCommand({ answer, give, limits }, caller, envelope);
  return {
    answer,
    give,
    limits,
    own: (name) => name === HISTORY_GET ? command : undefined,
    read: async (tenant_id, room_id, range) =>
      await shared(durableRoom(context, tenant_id, room_id), range),
    extent: async (tenant_id, room_id) =>
      await readExtent(context, trims, durableRoom(context, tenant_id, room_id)),
  };
}

/** The class of a room; throws `not-durable` when the room is not durable. */
function durableRoom(
  { classes }: Pick<HistoryContext, "classes">,
  tenant_id: string,
  room_id: string,
): ClassedRoom {
  const room_class = classes.of(tenant_id, room_id);
  if (!room_class.durable) throw new ArqonError("not-durable", room_id);
  return { tenant_id, room_id, room_class };
}

/** Runs every check that can refuse before the query itself is decoded, in the contract's order. */
async function admitHistory(
  { classes, overseer, bans }: HistoryContext,
  caller: Caller,
  room_id: string,
): Promise<RoomClass> {
  const { identity } = caller;
  requireRoomId(room_id);
  requireGrant(identity, "subscribe", room_id);
  bans.requireRoom(identity, room_id);
  await overseer.onSubscribe(caller, judgedRoomOf(room_id));
  // A ban may have come while policies judged it.
  bans.requireRoom(identity, room_id);
  return durableRoom({ classes }, identity.tenant_id, room_id).room_class;
}

interface ClassedRoom {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly room_class: RoomClass;
}

async function openRoom(
  { logs, limits, stats }: HistoryContext,
  trims: TrimMemory,
  { tenant_id, room_id, room_class }: ClassedRoom,
): Promise<HistoryRoom> {
  const log = await logs.of(tenant_id);
  const page_bytes = Math.min(ANSWER_BYTES, Math.floor(limits.unsent_bytes / 2));
  const { history_size, history_ttl_seconds } = room_class;
  const onRead = () => stats.read("history");
  return { log, room_id, history_size, history_ttl_seconds, page_bytes, trims, onRead };
}

async function readRoom(
  context: HistoryContext,
  trims: TrimMemory,
  classed: ClassedRoom,
  range: HistoryRange,
): Promise<HistoryAnswer> {
  const room = await openRoom(context, trims, classed);
  const page = await readHistory(room, range);
  const epoch = roomEpoch(page.stream, room.room_id);
  return new HistoryAnswer(classed.tenant_id, page, epoch, room.page_bytes);
}

const OLDEST: HistoryRange = { after: 0, before: 0, limit: 1, reverse: false };

async function readExtent(
  context: HistoryContext,
  trims: TrimMemory,
  classed: ClassedRoom,
): Promise<RoomExtent> {
  const room = await openRoom(context, trims, classed);
  const { log, room_id } = room;
  const { entries: [first], offset, stream } = await readHistory(room, OLDEST);
  // Messages that came since the oldest one was found are counted, too.
  const messages = first === undefined ? 0 : await log.count(room_id, first.offset);
  const epoch = roomEpoch(stream, room_id);
  return { messages, first_offset: first?.offset, last_offset: offset, epoch };
}

async function historyCommand(
  { answer, give, limits }: Pick<History, "answer" | "give" | "limits">,
  caller: Caller,
  { bytes, room_id, tenant_id, request_id, command }: ScannedEnvelope,
): Promise<Ack> {
  if (command === undefined) throw new TypeError("no command");
  requireRoomId(room_id);
  requireTenant(caller.identity, tenant_id);
  const { content_type, data_start, data_end } = command;
  const data = bytes.subarray(data_start, data_end);
  const ask = () => rangeOfData(data, content_type, limits);
  const found = await answer(caller, room_id, ask).catch((error) => {
    // The log's error may be shared with others, and the journal knows recorded refusals by their errors.
    throw Object.create(error);
  });
  const result = await give(caller, room_id, found, isProtobufType(content_type));
  return { ...EMPTY_ACK, request_id, result };
}

// A filtered page of history, for readers that may not see every message, or request fewer. It is extended until it has
// one message, so that an empty page is not taken for the end.

/** Messages that are read at once, and how often: no room keeps more than a million. */
const PAGE_MESSAGES = 1_000;
const PAGES_MAX = 1_001;
/** Messages of one slice, unless their filters take longer. */
const MESSAGES_A_PIECE = 32;
/** Verdicts of filters on history are not counted: it is not fan-out. */
const UNCOUNTED = { match: 0, no_match: 0, error: 0, cost: 0 };

/** The tenant and room that are read, and the steps of its filters. */
interface ReadShare {
  readonly tenant_id: string;
  readonly shares: Pick<FilterShares, "spend" | "isOver" | "later">;
}

/** Reads what all filters let through, in slices; `read` reads the log. */
export async function readFiltered(
  read: (range: HistoryRange) => Promise<HistoryAnswer>,
  range: HistoryRange,
  filters: readonly Filter[],
  { tenant_id, shares }: ReadShare,
  mapped?: ReadMapped,
): Promise<HistoryAnswer> {
  let steps = 0;
  let from: HistoryRange = { ...range, limit: PAGE_MESSAGES };
  for (let pages = 1;; pages++) {
    const answer = await read(from);
    const { entries, more } = answer.page;
    const seen: LogMessage[] = [];
    let next = 0;
    for (const [at, entry] of entries.entries()) {
      if (seen.length === range.limit) break;
      // Many readers may be here at once, each within its own steps.
      if (at % MESSAGES_A_PIECE === 0) await slice(tenant_id);
      next = entry.offset;
      const view = new MessageView(entry.payload, UNCOUNTED, undefined, mapped);
      if (filters.every((filter) => filter.lets(view))) seen.push(entry);
      shares.spend(tenant_id, view.spent_steps);
      steps += view.spent_steps;
      if (!shares.isOver(tenant_id, steps)) continue;
      steps = 0;
      await new Promise<void>((resolve) => shares.later(tenant_id, resolve));
    }
    if (seen.length > 0 || !more || next === 0 || pages === PAGES_MAX) {
      return answer.only(seen, next, more || next !== entries.at(-1)?.offset && next > 0);
    }
    from = range.reverse ? { ...from, before: next } : { ...from, after: next };
  }
}

// Shared reads, for many callers with the same request: one read serves everybody who called before it began, and few
// run at a time. Independent of logs.

const tooManyReads = () =>
  new ArqonError("log-unavailable", "too many history reads wait", { retry_after_ms: 1_000 });

/**
 * Shared reads. A read never serves a later caller: its answer could lack messages acknowledged in between. Reads of
 * one key run one after another.
 */
export class SharedReads<T> {
  readonly #queue: FairQueue;
  /** Reads that have not begun, by key: further callers may join them. */
  readonly #next = new Map<string, Promise<T>>();
  /** The last running or queued read of each key. */
  readonly #last = new Map<string, Promise<T>>();

  constructor(queue: FairQueue) {
    this.#queue = queue;
  }

  /**
   * Runs a read, or joins one, and resolves as it does. Rejects as the read does, and with
   * `log-unavailable` (503) when too many wait.
   */
  run(tenant_id: string, key: string, read: () => Promise<T>): Promise<T> {
    const next = this.#next.get(key);
    if (next !== undefined) return next;
    const started = this.#start(tenant_id, key, read);
    this.#next.set(key, started);
    this.#last.set(key, started);
    const forget = () => {
      if (this.#last.get(key) === started) this.#last.delete(key);
    };
    started.then(forget, forget);
    return started;
  }

  async #start(tenant_id: string, key: string, read: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key);
    // This waits a turn even with no read before it, so that callers of this turn join.
    await before?.catch(() => undefined);
    const begin = () => {
      this.#next.delete(key);
      return read();
    };
    return await this.#queue.run(tenant_id, begin, () => {
      this.#next.delete(key);
      return tooManyReads();
    });
  }
}

const utf8 = new TextEncoder();
const FRAME_BYTES = 256;
/** Bytes between two messages: a comma, or tag and length. */
const BETWEEN_BYTES = 6;

interface Cut<Form> {
  readonly messages: readonly Form[];
  readonly more: boolean;
}

/** The answer of a room's history to one question. */
export class HistoryAnswer {
  readonly page: HistoryPage;
  readonly #tenant_id: string;
  readonly #epoch: string;
  readonly #bytes_max: number;
  /** The offset of the last message that was examined; undefined: the last in the answer. */
  readonly #next: number | undefined;
  get is_filtered(): boolean {
    return this.#next !== undefined;
  }
  #json: Promise<Uint8Array> | undefined;
  #protobuf: Promise<Uint8Array> | undefined;
  /** The number of messages in each form. */
  readonly #counts = { json: 0, protobuf: 0 };

  /** Cuts the page so that neither form is larger than `bytes_max`; it always has at least one message. */
  constructor(
    tenant_id: string,
    page: HistoryPage,
    epoch: string,
    bytes_max: number,
    next?: number,
  ) {
    this.#tenant_id = tenant_id;
    this.page = page;
    this.#next = next;
    this.#epoch = epoch;
    this.#bytes_max = bytes_max;
  }

  /** The same answer with only these messages; the last examined one is `next`. */
  only(entries: HistoryPage["entries"], next: number, more: boolean): HistoryAnswer {
    const page = { ...this.page, entries, more };
    return new HistoryAnswer(this.#tenant_id, page, this.#epoch, this.#bytes_max, next);
  }

  /** The offsets of the messages that are in that form of the answer, once it is made. */
  offsetsIn(form: "json" | "protobuf"): number[] {
    return this.page.entries.slice(0, this.#counts[form]).map(({ offset }) => offset);
  }

  /** The answer as JSON, in UTF-8: `{"messages":[…],"offset":N,"epoch":"…","more":false}`. */
  json(): Promise<Uint8Array> {
    return this.#json ??= this.#encodeJson();
  }

  /** The answer as a Protobuf `History`. */
  protobuf(): Promise<Uint8Array> {
    return this.#protobuf ??= this.#encodeProtobuf();
  }

  async #encodeJson(): Promise<Uint8Array> {
    const { messages, more } = await this.#cut(textOf, (text) => utf8.encode(text).length);
    this.#counts.json = messages.length;
    const { offset, entries } = this.page;
    // If the answer was cut, the next page continues after its last message.
    const is_whole = this.#next !== undefined && messages.length === entries.length;
    const next = is_whole ? `,"next":${this.#next}` : "";
    const rest = `"offset":${offset},"epoch":${JSON.stringify(this.#epoch)},"more":${more}${next}`;
    return utf8.encode(`{"messages":[${messages.join(",")}],${rest}}`);
  }

  async #encodeProtobuf(): Promise<Uint8Array> {
    const { messages, more } = await this.#cut(envelopeOf, ({ length }) => length);
    this.#counts.protobuf = messages.length;
    const { offset } = this.page;
    return writeHistory({ messages: [...messages], offset, epoch: this.#epoch, more });
  }

  async #cut<Form>(
    encode: (message: LogMessage) => Form,
    sizeOf: (form: Form) => number,
  ): Promise<Cut<Form>> {
    const messages: Form[] = [];
    let size_bytes = FRAME_BYTES;
    for (const entry of this.page.entries) {
      await slice(this.#tenant_id);
      const message = encode(entry);
      size_bytes += sizeOf(message) + BETWEEN_BYTES;
      if (messages.length > 0 && size_bytes > this.#bytes_max) return { messages, more: true };
      messages.push(message);
    }
    return { messages, more: this.page.more };
  }
}

function envelopeOf({ payload, offset }: LogMessage): Uint8Array {
  return encodeMsgAt(readable(payload), offset).subarray(1);
}

function textOf({ payload, offset }: LogMessage): string {
  return encodeTextMessage({ ...readRouted(payload), offset });
}
