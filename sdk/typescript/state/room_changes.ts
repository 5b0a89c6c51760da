/**
 * Which changes of one room's state a client has heard of, and which missed ones an answer of
 * `room.get` brings. Pure; when to ask is `state_repair.ts`.
 */
import type { PlainEnvelope } from "@arqon/proto";
import { encodeUtf8, readEnvelope, strictText } from "@arqon/proto";
import { HELD_MAX } from "../wire/bounds.ts";
import type { Json } from "../wire/json.ts";
import type { RoomPosition, RoomRead, RoomState } from "./room_state.ts";

/** The type of the event that tells a change. */
const ROOM_UPDATE = "ROOM_UPDATE";

/** The change that an envelope tells; undefined for what is not from the bus. */
export function changeOf(
  { event, sender_id, message_id }: PlainEnvelope,
): RoomPosition | undefined {
  if (event?.type !== ROOM_UPDATE || sender_id !== "") return undefined;
  const [, epoch, digits] = /^room:(.+):([1-9][0-9]{0,15})$/.exec(message_id) ?? [];
  return epoch === undefined ? undefined : { epoch, version: Number(digits) };
}

/** Whether the room has been created with that change: none of its epoch came before it. */
function isFirst({ event }: PlainEnvelope): boolean {
  try {
    const told: Json = JSON.parse(strictText(event?.data ?? new Uint8Array()));
    return typeof told === "object" && told !== null && "first" in told && told.first === true;
  } catch {
    return false;
  }
}

/** An envelope that tells a change as the bus would have. */
function changeEnvelope(
  room_id: string,
  change: RoomPosition & { readonly at_ms: number },
): PlainEnvelope {
  const { epoch, version, at_ms } = change;
  return {
    ...readEnvelope(new Uint8Array()),
    room_id,
    timestamp_ms: at_ms,
    message_id: `room:${epoch}:${version}`,
    event: {
      type: ROOM_UPDATE,
      data: encodeUtf8(JSON.stringify(change)),
      content_type: "application/json",
      schema_id: "",
    },
  };
}

/** What a client knows of a room's changes, and those that wait for earlier ones. */
export class RoomChanges {
  readonly #room: string;
  #last: RoomPosition | undefined;
  /** True when something may be missing before the first change that comes. */
  #is_uncertain = false;
  /** Changes that came after a hole, and wait. */
  #held: { readonly envelope: PlainEnvelope; readonly change: RoomPosition }[] = [];

  constructor(room: string) {
    this.#room = room;
  }

  /** The last change that the program has got; undefined: none yet, or it is not known. */
  get last(): RoomPosition | undefined {
    return this.#last;
  }

  /** Whether a change waits for earlier ones. */
  get has_hole(): boolean {
    return this.#held.length > 0;
  }

  /**
   * Takes a change. Gives what the program gets now: the change, or nothing when it is a repeat or
   * has to wait.
   */
  hear(envelope: PlainEnvelope, change: RoomPosition): PlainEnvelope[] {
    if (this.#isRepeat(change)) return [];
    if (this.#held.length === 0 && this.#isNext(envelope, change)) {
      this.#last = change;
      return [envelope];
    }
    // What is left out here the answer has that the others wait for.
    if (this.#held.length < HELD_MAX) this.#held.push({ envelope, change });
    return [];
  }

  /**
   * Takes note that changes may be missing from here on. False when nobody has heard of any yet.
   */
  doubt(): boolean {
    if (this.#last !== undefined) return true;
    this.#is_uncertain = true;
    return false;
  }

  /**
   * The missed changes, from an answer that was asked for after `last`; undefined when it lacks
   * some.
   */
  missed(read: RoomRead): PlainEnvelope[] | undefined {
    const last = this.#last;
    const { epoch, events, version } = read;
    if (last === undefined || epoch !== last.epoch || events === undefined) return undefined;
    const missed = events.filter((event) => event.version > last.version);
    if (version > last.version) this.#last = { epoch, version };
    return [...missed.map((event) => changeEnvelope(this.#room, event)), ...this.#release()];
  }

  /** The whole state, in place of changes that nobody knows any longer. */
  replace(whole: RoomState, now_ms: number): PlainEnvelope[] {
    const { epoch, version, state, lock } = whole;
    const last = this.#last;
    const is_news = last === undefined || last.epoch !== epoch || last.version < version;
    this.#last = { epoch, version };
    this.#is_uncertain = false;
    const told = { version, epoch, op: "state", state, lock, by: "", at_ms: now_ms };
    const change = changeEnvelope(this.#room, told);
    return [...(is_news && version > 0 ? [change] : []), ...this.#release()];
  }

  /**
   * Nobody can be asked: gives the changes that wait as far as the next hole; those that are
   * missing are lost.
   */
  giveUp(): PlainEnvelope[] {
    const [first] = this.#held;
    if (first === undefined) return [];
    this.#last = { ...first.change, version: first.change.version - 1 };
    return this.#release();
  }

  /**
   * The waiting changes that follow now. Those behind a hole go on waiting; those of other lives
   * are dropped.
   */
  #release(): PlainEnvelope[] {
    const held = this.#held;
    this.#held = [];
    const { epoch } = this.#last ?? {};
    return held.filter(({ change }) => change.epoch === epoch)
      .flatMap(({ envelope, change }) => this.hear(envelope, change));
  }

  #isRepeat({ epoch, version }: RoomPosition): boolean {
    return this.#last?.epoch === epoch && version <= this.#last.version;
  }

  #isNext(envelope: PlainEnvelope, { epoch, version }: RoomPosition): boolean {
    const last = this.#last;
    if (last?.epoch === epoch) return version === last.version + 1;
    return (last === undefined && !this.#is_uncertain) || isFirst(envelope);
  }
}
