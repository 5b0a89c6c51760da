/**
 * Reads a document from its room: the newest trusted snapshot, and the updates after it. The author of the update that
 * reaches the limit makes the next snapshot; if that author fails, the author of the update that reaches it twice does.
 */
import type { Message, Room } from "@arqon/sdk";
import { join, LIVE_FILTER, markOf, partOf, placeOf, SNAPSHOT_FILTER, UPDATE } from "./records.ts";
import type { LogPlace, Mark } from "./records.ts";
import { history } from "@arqon/sdk/history";

/** The limits of updates after a snapshot, at which the next one is due. */
interface CompactionLimits {
  /** Messages with updates. */
  readonly updates: number;
  readonly bytes: number;
}

/** Counts the updates that no snapshot contains. */
export class Compaction {
  readonly #limits: CompactionLimits;
  #loose: LooseUpdate[] = [];
  #bytes = 0;

  constructor(limits: CompactionLimits) {
    this.#limits = limits;
  }

  /** Starts again from a reading of the room. */
  begin(loose: readonly LooseUpdate[]): void {
    this.#loose = [...loose];
    this.#bytes = loose.reduce((sum, { size_bytes }) => sum + size_bytes, 0);
  }

  /** Counts an update, once. True if it reaches the limit, so that its author makes a snapshot. */
  count(update: LooseUpdate): boolean {
    if (this.#loose.some(({ offset }) => offset === update.offset)) return false;
    const before = this.#fills();
    this.#loose.push(update);
    this.#bytes += update.size_bytes;
    return this.#fills() > before;
  }

  /** Records a snapshot that contains everything up to this offset. */
  held(upto: number): void {
    this.begin(this.#loose.filter(({ offset }) => offset > upto));
  }

  /** How many times the updates after the snapshot reach the limit. */
  #fills(): number {
    const { updates, bytes } = this.#limits;
    return Math.floor(Math.max(this.#loose.length / updates, this.#bytes / bytes));
  }
}

/**
 * The maximum time between the parts of an update, by the Shields' timestamps; later parts are ignored. The sender
 * gives up much earlier, so all readers decide alike.
 */
const SET_MS = 300_000;

interface OpenSet {
  /** The message before the first part. */
  readonly before: LogPlace | undefined;
  readonly begun_ms: number;
  readonly pieces: Map<number, Uint8Array>;
}

/** Assembles the updates of one log, from a position on. */
export class Assembler {
  #last: LogPlace | undefined;
  readonly #open = new Map<string, OpenSet>();

  /** `last` is the message before the first one to read; undefined at the log's beginning. */
  constructor(last?: LogPlace) {
    this.#last = last;
  }

  /** The last read message. */
  get last(): LogPlace | undefined {
    return this.#last;
  }

  /**
   * The position from which a new reader would miss nothing: the message before the first part of an incomplete update,
   * otherwise the last one.
   */
  get floor(): LogPlace | undefined {
    const [first] = this.#open.values();
    return first === undefined ? this.#last : first.before;
  }

  /** Adds the next message. Returns the update that it completes; undefined if it completes none. */
  take(message: Message): Uint8Array | undefined {
    const before = this.#last;
    const { timestamp_ms } = message;
    this.#last = placeOf(message);
    for (const [set, { begun_ms }] of this.#open) {
      // Clocks of Shields differ, so an incomplete update keeps the floor for twice as long.
      if (timestamp_ms - begun_ms > 2 * SET_MS) this.#open.delete(set);
    }
    if (message.type !== UPDATE) return undefined;
    const part = partOf(message);
    if (part === undefined) return message.data;
    let open = this.#open.get(part.set);
    if (open === undefined) {
      open = { before, begun_ms: timestamp_ms, pieces: new Map() };
      this.#open.set(part.set, open);
    }
    if (timestamp_ms - open.begun_ms > SET_MS) return undefined;
    open.pieces.set(part.index, message.data);
    if (open.pieces.size < part.count) return undefined;
    this.#open.delete(part.set);
    return join(open.pieces);
  }
}

/** The timeout of one page, in ms, including a reconnect. */
const PAGE_MS = 30_000;
const PAGE_MESSAGES = 250;

/** The part of a room that reads its history. */
type ReadableRoom = Pick<Room, "id" | "command">;

/** An update that no snapshot contains. */
export interface LooseUpdate {
  readonly offset: number;
  readonly size_bytes: number;
}

/** A document as stored in a room. */
export interface LogReading {
  /** The snapshot, if there is one, and the updates after it, for Yjs. */
  readonly updates: readonly Uint8Array[];
  /** The assembler at the log's position, for the following messages. */
  readonly assembler: Assembler;
  /** The updates after the snapshot. */
  readonly loose: readonly LooseUpdate[];
  /** The time of the oldest message that is still needed, Unix ms; undefined in an empty room. */
  readonly oldest_ms: number | undefined;
  /** Whether these are all updates of the document: false without a snapshot, if older messages were trimmed. */
  readonly is_whole: boolean;
}

/** The best usable mark, and the messages after its content. */
interface Choice {
  readonly mark: { readonly content: Mark; readonly message: Message } | undefined;
  /** Newest first. */
  readonly behind: readonly Message[];
}

/**
 * Chooses a mark among messages, newest first. A mark is valid if its last contained message is still at its offset:
 * after a power cut, or a restored backup, another message may be there, and the snapshot may lack the log's present
 * content. `"more"`: older messages are needed.
 */
function choose(
  newest_first: readonly Message[],
  useless: Set<Message>,
  is_all: boolean,
): Choice | "more" {
  // Two editors may make snapshots at once: the later mark may contain less.
  const marks = newest_first.flatMap((message) => {
    const content = useless.has(message) ? undefined : markOf(message);
    return content === undefined ? [] : [{ message, content }];
  }).sort((one, other) => other.content.upto.offset - one.content.upto.offset);
  for (const { message, content } of marks) {
    const { upto } = content;
    const at = newest_first.findIndex(({ offset }) => Number(offset) <= upto.offset);
    if (at < 0 && !is_all) return "more";
    const found = newest_first[at];
    const place: LogPlace | undefined = found && placeOf(found);
    // That message was trimmed, and with it everything before the mark, so the mark has to be trusted.
    const is_true = place === undefined || (place.offset === upto.offset && place.id === upto.id);
    if (!is_true) useless.add(message);
    else {return {
        mark: { content, message },
        behind: at < 0 ? newest_first : newest_first.slice(0, at),
      };}
  }
  return is_all ? { mark: undefined, behind: newest_first } : "more";
}

/** The bytes of a snapshot; undefined if parts of it were trimmed. */
async function snapshotOf(room: ReadableRoom, mark: Mark, at: number, signal: AbortSignal) {
  const pieces = new Map<number, Uint8Array>();
  let after = mark.from - 1;
  for (let more = true; more && pieces.size < mark.parts;) {
    const page = await history(
      room,
      { after, before: at, limit: PAGE_MESSAGES, filter: SNAPSHOT_FILTER },
      { signal, timeout_ms: PAGE_MS, command_id: "yjs" },
    );
    for (const message of page.messages) {
      after = Number(message.offset);
      const part = partOf(message);
      if (part?.set === mark.set) pieces.set(part.index, message.data);
    }
    more = page.more && page.messages.length > 0;
  }
  return pieces.size < mark.parts ? undefined : join(pieces);
}

function readingOf({ mark, behind }: Choice, snapshot: Uint8Array | undefined): LogReading {
  const assembler = new Assembler(mark?.content.upto);
  const updates = snapshot === undefined ? [] : [snapshot];
  const loose: LooseUpdate[] = [];
  for (const message of [...behind].reverse()) {
    const update = assembler.take(message);
    if (update !== undefined) updates.push(update);
    if (message.type === UPDATE) {
      loose.push({ offset: Number(message.offset), size_bytes: message.data.length });
    }
  }
  const times = [...behind, ...(mark === undefined ? [] : [mark.message])];
  const oldest_ms = times.length === 0
    ? undefined
    : times.reduce((oldest, { timestamp_ms }) => Math.min(oldest, timestamp_ms), Infinity);
  const is_whole = mark !== undefined || Number(behind.at(-1)?.offset ?? 1) === 1;
  return { updates, assembler, loose, oldest_ms, is_whole };
}

/** Reads the document of the room. Rejects as `history` does, and with the signal's reason. */
export async function readLog(room: ReadableRoom, signal: AbortSignal): Promise<LogReading> {
  const messages: Message[] = [];
  const useless = new Set<Message>();
  let more = true;
  for (;;) {
    const choice = choose(messages, useless, !more);
    if (choice === "more") {
      const before = Number(messages.at(-1)?.offset ?? 0);
      const page = await history(
        room,
        { before, reverse: true, limit: PAGE_MESSAGES, filter: LIVE_FILTER },
        { signal, timeout_ms: PAGE_MS, command_id: "yjs" },
      );
      messages.push(...page.messages);
      more = page.more && page.messages.length > 0;
      continue;
    }
    const { mark } = choice;
    if (mark === undefined) return readingOf(choice, undefined);
    const at = Number(mark.message.offset);
    const snapshot = await snapshotOf(room, mark.content, at, signal);
    if (snapshot !== undefined) return readingOf(choice, snapshot);
    useless.add(mark.message);
  }
}
