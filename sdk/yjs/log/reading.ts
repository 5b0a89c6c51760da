/**
 * Reads a document out of its room: the newest trusted snapshot, and the updates behind it. The
 * author of the update that fills the count makes the next snapshot; when that author dies, the
 * author of the one that fills it twice does.
 */
import type { Message, Room } from "@arqon/sdk";
import { join, LIVE_FILTER, markOf, partOf, placeOf, SNAPSHOT_FILTER, UPDATE } from "./records.ts";
import type { LogPlace, Mark } from "./records.ts";
import { history } from "@arqon/sdk/history";

/** How much may be behind a snapshot before the next one is due. */
interface CompactionLimits {
  /** Messages with updates. */
  readonly updates: number;
  readonly bytes: number;
}

/** The updates that no snapshot holds, as this reader knows. */
export class Compaction {
  readonly #limits: CompactionLimits;
  #loose: LooseUpdate[] = [];
  #bytes = 0;

  constructor(limits: CompactionLimits) {
    this.#limits = limits;
  }

  /** Begins anew with what was read of the room. */
  begin(loose: readonly LooseUpdate[]): void {
    this.#loose = [...loose];
    this.#bytes = loose.reduce((sum, { size_bytes }) => sum + size_bytes, 0);
  }

  /** Counts an update. True when it fills the count: its author makes a snapshot. */
  count(update: LooseUpdate): boolean {
    const before = this.#fills();
    this.#loose.push(update);
    this.#bytes += update.size_bytes;
    return this.#fills() > before;
  }

  /** Takes note of a snapshot that holds everything up to this offset. */
  held(upto: number): void {
    this.begin(this.#loose.filter(({ offset }) => offset > upto));
  }

  /** How often what is behind the snapshot would have filled the count. */
  #fills(): number {
    const { updates, bytes } = this.#limits;
    return Math.floor(Math.max(this.#loose.length / updates, this.#bytes / bytes));
  }
}

/**
 * The parts of an update come within this, by the time that Shields stamp on them, or never make one.
 * The sender gives up much sooner, so all readers decide the same.
 */
const SET_MS = 300_000;

interface OpenSet {
  /** The message before the first part. */
  readonly before: LogPlace | undefined;
  readonly begun_ms: number;
  readonly pieces: Map<number, Uint8Array>;
}

/** The updates of one log, from a place on. */
export class Assembler {
  #last: LogPlace | undefined;
  readonly #open = new Map<string, OpenSet>();

  /** `last` is the message before the first that will be taken; undefined at the log's beginning. */
  constructor(last?: LogPlace) {
    this.#last = last;
  }

  /** The last message that was taken. */
  get last(): LogPlace | undefined {
    return this.#last;
  }

  /**
   * The last message up to which everything was given: the one before the first part of an update of
   * which parts are still missing, else the last. Who begins behind it misses nothing.
   */
  get floor(): LogPlace | undefined {
    const [first] = this.#open.values();
    return first === undefined ? this.#last : first.before;
  }

  /** Takes the next message. Gives the update that is whole with it; undefined when none is. */
  take(message: Message): Uint8Array | undefined {
    const before = this.#last;
    const { timestamp_ms } = message;
    this.#last = placeOf(message);
    for (const [set, { begun_ms }] of this.#open) {
      // Clocks of Shields differ: what could still be whole holds the floor for twice as long.
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
    const { pieces } = open;
    return join(Array.from({ length: part.count }, (_, at) => pieces.get(at) ?? new Uint8Array()));
  }
}

/** How long one page is waited for, in ms; a reconnect counts. */
const PAGE_MS = 30_000;
const PAGE_MESSAGES = 250;

/** The part of a room that gives what it keeps. */
type ReadableRoom = Pick<Room, "id" | "command">;

/** An update that no snapshot holds. */
interface LooseUpdate {
  readonly offset: number;
  readonly size_bytes: number;
}

/** What a room holds of a document. */
export interface LogReading {
  /** The snapshot, if there is one, and the updates behind it; Yjs makes the document of them. */
  readonly updates: readonly Uint8Array[];
  /** Where the log stands; takes what comes next. */
  readonly assembler: Assembler;
  /** The updates behind the snapshot. */
  readonly loose: readonly LooseUpdate[];
  /** When the oldest message was stored that is still needed, Unix ms; undefined in an empty room. */
  readonly oldest_ms: number | undefined;
}

/** The mark that holds most and is not known to be useless, and the messages behind what it holds. */
interface Choice {
  readonly mark: { readonly said: Mark; readonly message: Message } | undefined;
  /** The newest first. */
  readonly behind: readonly Message[];
}

/**
 * Chooses among messages, the newest first. A mark counts when the message up to which it holds
 * everything is where the mark says: after a power cut, or a backup that was put back, another may be
 * there, and the snapshot may not know what the log has now. `"more"`: older messages are needed.
 */
function choose(
  newest_first: readonly Message[],
  useless: Set<Message>,
  is_all: boolean,
): Choice | "more" {
  // Two editors may make snapshots at once: the later mark may be the one that holds less.
  const marks = newest_first.flatMap((message) => {
    const said = useless.has(message) ? undefined : markOf(message);
    return said === undefined ? [] : [{ message, said }];
  }).sort((one, other) => other.said.upto.offset - one.said.upto.offset);
  for (const { message, said } of marks) {
    const { upto } = said;
    const at = newest_first.findIndex(({ offset }) => Number(offset) <= upto.offset);
    if (at < 0 && !is_all) return "more";
    const found = newest_first[at];
    const place: LogPlace | undefined = found && placeOf(found);
    // No longer kept: then nothing before the mark is, and it has to be believed.
    const is_true = place === undefined || (place.offset === upto.offset && place.id === upto.id);
    if (!is_true) useless.add(message);
    else {return {
        mark: { said, message },
        behind: at < 0 ? newest_first : newest_first.slice(0, at),
      };}
  }
  return is_all ? { mark: undefined, behind: newest_first } : "more";
}

/** The bytes of a snapshot; undefined when not all of it is kept. */
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
  if (pieces.size < mark.parts) return undefined;
  return join(Array.from({ length: mark.parts }, (_, at) => pieces.get(at) ?? new Uint8Array()));
}

function readingOf({ mark, behind }: Choice, snapshot: Uint8Array | undefined): LogReading {
  const assembler = new Assembler(mark?.said.upto);
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
    : Math.min(...times.map(({ timestamp_ms }) => timestamp_ms));
  return { updates, assembler, loose, oldest_ms };
}

/** Reads what the room holds. Rejects as `history` does, and with the signal's reason. */
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
    const snapshot = await snapshotOf(room, mark.said, at, signal);
    if (snapshot !== undefined) return readingOf(choice, snapshot);
    useless.add(mark.message);
  }
}
