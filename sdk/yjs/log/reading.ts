/**
 * Reads a document out of its room: the newest snapshot that can be trusted, and every update behind it.
 * Changes nothing and keeps nothing.
 */
import type { Message, Room } from "@arqon/sdk";
import { history } from "@arqon/sdk/history";
import { Assembler } from "./assembler.ts";
import { join, LIVE_FILTER, type LogPlace, type Mark, markOf, partOf } from "./records.ts";
import { placeOf, SNAPSHOT_FILTER, UPDATE } from "./records.ts";

/** How long one page is waited for, in ms; a reconnect counts. */
const PAGE_MS = 30_000;
const PAGE_MESSAGES = 250;

/** The part of a room that gives what it keeps. */
export type ReadableRoom = Pick<Room, "id" | "command">;

/** An update that no snapshot holds. */
export interface LooseUpdate {
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

/**
 * Reads what the room holds. Rejects with what `history` rejects with, `not-durable` for example,
 * and with the signal's reason.
 */
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
