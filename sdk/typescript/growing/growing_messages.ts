/** Reads the growing messages of a room: each piece once, over reconnects; and the room that reports them. */
import { ArqonError, type Uint64 } from "@arqon/proto";
import { type Message, requireIn } from "../message/message.ts";
import { ask as askRoom, type JsonInput, patiently } from "../request/room_request.ts";
import { portOf, Room } from "../room/room.ts";
import { history } from "../subscription/replay.ts";

/** How a message ended; `growing` while it has not. */
export type GrowingState = "growing" | "finished" | "stopped" | "aborted";

/** How a stream ended. */
export interface StreamEnd {
  readonly id: string;
  readonly outcome: Exclude<GrowingState, "growing">;
  /** The message's offset in the room's log; undefined: it is not stored. */
  readonly offset?: number;
}

/** An end, as it is reported and answered. */
export interface Ended extends Pick<StreamEnd, "outcome" | "offset"> {
  /** Distinguishes messages with the same id. */
  readonly started_ms: number;
}

/** The public form of an end. */
export const endOf = (id: string, { outcome, offset }: Ended): StreamEnd => ({
  id,
  outcome,
  ...offset !== undefined && { offset },
});

/** The metadata of a growing message. */
export interface GrowingView {
  readonly id: string;
  /** Type of the event that it becomes at the end. */
  readonly type: string;
  /** User id of its producer. */
  readonly sender: string;
  /** Unix ms. */
  readonly started_ms: number;
}

/** The reports about growing messages. */
export type GrowingEvent =
  | { readonly op: "start" } & GrowingView & { readonly seq: number }
  | { readonly op: "append"; readonly id: string; readonly seq: number; readonly text: string }
  | {
    readonly op: "end";
    readonly id: string;
    readonly seq: number;
    readonly reason: string;
    readonly by: string;
    /** Whether the stored text may differ from the pieces. */
    readonly changed?: boolean;
  } & Ended;

/** The companion room with the reports about growing messages of `room`. */
export const growingRoom = (room: Room): Room => new Room(`${room.id}~growing`, portOf(room));

/** The report in a message of that room; undefined for other messages. */
export function eventOf(message: Message): GrowingEvent | undefined {
  return message.type === "growing" && message.sender === ""
    ? message.json<GrowingEvent>()
    : undefined;
}

/** Sends a command of growing messages, patiently. */
export async function ask<Answer>(
  room: Room,
  verb: string,
  data: Readonly<Record<string, JsonInput>>,
  signal?: AbortSignal,
): Promise<Answer> {
  const send = () => askRoom<Answer>(room, `growing.${verb}`, data, {});
  return await patiently(send, signal);
}

/** How many pages of the newest messages are searched for an ended one: as far back as the bus knows ends. */
const ENDED_PAGES = 41;
const STATE_HEADER = "x-arqon-growing";

/**
 * Receives one growing message until it ends; the first item has all its text so far. A recently ended message is read
 * from the room's log; a message that has not begun is awaited, until `signal` is aborted.
 */
export async function* readStream(
  room: Room,
  id: string,
  { signal }: { readonly signal?: AbortSignal } = {},
): AsyncGenerator<Growing, void> {
  for await (const one of followed(room, signal, () => endedOf(room, { id }, 1))) {
    if (one.id !== id) continue;
    yield one;
    if (one.state !== "growing") return;
  }
}

/** An ended message, if it is among the last ones of the room's log. */
async function endedOf(
  room: Room,
  { id, started_ms, sender: producer }: Pick<GrowingView, "id"> & Partial<GrowingView>,
  pages: number,
): Promise<Growing | undefined> {
  const name = `growing:${id}:${started_ms ?? ""}`;
  for (let [page, before, is_due] = [0, 0 as Uint64, true]; is_due && page < pages; page++) {
    const { messages, more } = await history(room, { before, reverse: true });
    // Anybody may send a message with that id; only the bus sets the header.
    const stored = messages.find(({ message_id, headers, sender }) =>
      message_id.startsWith(name) && STATE_HEADER in headers && sender === (producer ?? sender)
    );
    if (stored === undefined) {
      [before, is_due] = [messages.at(-1)?.offset ?? 0, more];
      continue;
    }
    const { [STATE_HEADER]: state, "x-arqon-growing-reason": reason = "" } = stored.headers;
    const { type, sender, message_id, offset } = stored;
    const text = stored.text();
    return {
      id,
      type,
      sender,
      reason,
      text,
      piece: text,
      offset: Number(offset),
      started_ms: Number(message_id.split(":")[2]),
      state: state as GrowingState,
    };
  }
  return undefined;
}

/** A growing message, each time that it has grown or ended. */
export interface Growing extends GrowingView {
  /** The whole text so far. At the end: the text in the room's log. */
  readonly text: string;
  /** The new text since the last item. */
  readonly piece: string;
  readonly state: GrowingState;
  /** Why it ended, if a reason was given. */
  readonly reason: string;
  /** Its offset in the room's log, once it has ended and is stored. */
  readonly offset?: number | undefined;
}

/** The known state of a message. */
interface Known extends GrowingView {
  readonly text: string;
  readonly seq: number;
}

/** How many ended messages are remembered, to ignore late or repeated reports. */
const ENDED_MAX = 256;

/** Options of `growing`, all optional. */
export interface GrowingOptions {
  /** Aborting ends the loop, which throws the signal's reason. */
  readonly signal?: AbortSignal;
}

/** The messages that are growing in a durable room. */
export async function growingList(room: Room): Promise<readonly GrowingView[]> {
  return (await ask<{ messages: GrowingView[] }>(room, "list", {})).messages;
}

/**
 * Receives the growing messages of a durable room; several may grow at once. The loop ends when the connection is
 * closed here; it throws the error that ended it, after a kick or a ban `disconnected` or `room-banned`. Finished
 * messages are normal messages of the room: receive them with `subscribe`.
 */
export function growing(
  room: Room,
  { signal }: GrowingOptions = {},
): AsyncGenerator<Growing, void> {
  return followed(room, signal);
}

/** As `growing`; `ended` gives a further item, once all growing messages are known. */
async function* followed(
  room: Room,
  signal: AbortSignal | undefined,
  ended?: () => Promise<Growing | undefined>,
): AsyncGenerator<Growing, void> {
  const all = new Readings(room);
  using messages = growingRoom(room).subscribe(signal === undefined ? {} : { signal });
  await messages.ready;
  yield* await all.compare();
  const end = await ended?.();
  if (end !== undefined) yield end;
  for await (const message of messages) {
    requireIn(room.id, message);
    if (message.signal?.kind === "GAP") {
      yield* await all.compare();
      continue;
    }
    const event = eventOf(message);
    if (event !== undefined) yield* await all.hear(event);
  }
}

/**
 * Stops a growing message: no text is added, the text so far is stored, and its producer is notified. Resolves with how
 * it ended, which may be another way if it had already ended.
 */
export async function stopStream(room: Room, id: string, reason = ""): Promise<StreamEnd> {
  return endOf(id, await ask<Ended>(room, "stop", { id, reason }));
}

class Readings {
  readonly #room: Room;
  /** The growing messages of the room. */
  readonly #known = new Map<string, Known>();
  /** Ended messages, the oldest first: by id and time, because an id may be reused. */
  readonly #over = new Set<string>();

  constructor(room: Room) {
    this.#room = room;
  }

  /** Requests all growing messages, and the ends that were missed. */
  async compare(): Promise<Growing[]> {
    const messages = await growingList(this.#room);
    const changes: Growing[] = [];
    const open = new Set(messages.map(({ id }) => id));
    for (const known of [...this.#known.values()]) {
      if (!open.has(known.id)) changes.push(await this.#missed(known));
    }
    for (const { id } of messages) changes.push(...await this.#ask(id));
    return changes;
  }

  async hear(event: GrowingEvent): Promise<Growing[]> {
    const known = this.#known.get(event.id);
    switch (event.op) {
      case "start":
        if (known?.started_ms === event.started_ms || this.#isOver(event)) return [];
        if (known !== undefined || event.seq > 0) return await this.#ask(event.id);
        return [this.#grow({ ...event, text: "" }, "")];
      case "append": {
        if (known === undefined || event.seq > known.seq + 1) return await this.#ask(event.id);
        const { seq, text } = event;
        return seq <= known.seq
          ? []
          : [this.#grow({ ...known, seq, text: known.text + text }, text)];
      }
      case "end":
        // An end may be reported again after its id was reused.
        if (known?.started_ms !== event.started_ms) return [];
        return [await this.#end(known, event)];
      default:
        return event satisfies never;
    }
  }

  #grow(known: Known, piece: string): Growing {
    this.#known.set(known.id, known);
    return { ...viewOf(known), text: known.text, piece, state: "growing", reason: "" };
  }

  /**
   * The present state of the message, behind the end of an earlier one with its id; empty: it has ended, which is
   * reported or detected.
   */
  async #ask(id: string): Promise<Growing[]> {
    const before = this.#known.get(id);
    const missed = async () => before === undefined ? [] : [await this.#missed(before)];
    let now: Known;
    try {
      now = await ask<Known>(this.#room, "get", { id });
    } catch (error) {
      const is_over = error instanceof ArqonError &&
        ["growing-ended", "growing-unknown"].includes(error.reason);
      if (is_over) return await missed();
      throw error;
    }
    if (before?.started_ms === now.started_ms) {
      return before.seq >= now.seq ? [] : [this.#grow(now, now.text.slice(before.text.length))];
    }
    const ended = await missed();
    return this.#isOver(now) ? ended : [...ended, this.#grow(now, now.text)];
  }

  async #end(
    known: Known,
    { seq, outcome, reason, offset, changed = false }: Extract<GrowingEvent, { op: "end" }>,
  ): Promise<Growing> {
    // If pieces are missing, or a policy has changed the text, the log has the final text.
    const is_whole = !changed && seq === known.seq;
    const text = is_whole ? known.text : await this.#stored(offset) ?? known.text;
    return this.#ended(known, { text, state: outcome, reason, offset });
  }

  #ended(known: Known, end: Pick<Growing, "text" | "state" | "reason" | "offset">): Growing {
    const { text, state, reason, offset } = end;
    this.#known.delete(known.id);
    this.#over.add(nameOf(known));
    if (this.#over.size > ENDED_MAX) this.#over.delete(this.#over.values().next().value!);
    const piece = text.startsWith(known.text) ? text.slice(known.text.length) : "";
    return { ...viewOf(known), text, piece, state, reason, offset };
  }

  #isOver(one: Pick<GrowingView, "id" | "started_ms">): boolean {
    return this.#over.has(nameOf(one));
  }

  async #stored(offset: number | undefined): Promise<string | undefined> {
    if (offset === undefined || offset === 0) return undefined;
    const { messages: [message] } = await history(this.#room, { after: offset - 1, limit: 1 });
    return message?.offset === offset ? message.text() : undefined;
  }

  /** The missed end of a message, from the room's log. */
  async #missed(known: Known): Promise<Growing> {
    const lost = { text: known.text, state: "aborted", reason: "" } as const;
    return this.#ended(known, await endedOf(this.#room, known, ENDED_PAGES) ?? lost);
  }
}

const nameOf = ({ id, started_ms }: Pick<GrowingView, "id" | "started_ms">) =>
  `${id}:${started_ms}`;

const viewOf = ({ id, type, sender, started_ms }: GrowingView) => ({
  id,
  type,
  sender,
  started_ms,
});
