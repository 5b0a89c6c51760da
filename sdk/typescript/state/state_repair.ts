/** Tracks which changes of a room's state a client has received, and fetches missed ones. */
import { encodeUtf8, type PlainEnvelope, readEnvelope, strictText } from "@arqon/proto";
import { HELD_MAX, REPAIR_GIVE_UP_MS, REPAIR_SPREAD_MS } from "../wire/bounds.ts";
import { ask, type CommandRoom, type Json } from "../request/room_request.ts";
import type { RoomPosition, RoomRead, RoomState, RoomValue } from "./room_state.ts";
import { backoffDelay, sleep } from "../time/clock.ts";
import { gapMessage, Message } from "../message/message.ts";
import type { MessageBuffer } from "../message/message_buffer.ts";
import { isPassing } from "../wire/wire_error.ts";

/** The event type of a change. */
export const ROOM_UPDATE = "ROOM_UPDATE";

/** The change in an envelope; undefined if it is not from the bus. */
export function changeOf(
  { event, sender_id, message_id }: PlainEnvelope,
): RoomPosition | undefined {
  if (event?.type !== ROOM_UPDATE || sender_id !== "") return undefined;
  const [, epoch, digits] = /^room:(.+):([1-9][0-9]{0,15})$/.exec(message_id) ?? [];
  return epoch === undefined ? undefined : { epoch, version: Number(digits) };
}

/** Whether the change created the room, so that it is the first of its epoch. */
function isFirst({ event }: PlainEnvelope): boolean {
  try {
    const update: { readonly first?: Json } | null = JSON.parse(strictText(event!.data));
    return update?.first === true;
  } catch {
    return false;
  }
}

/** An envelope with a change, in the form that the bus uses. */
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

/** The known changes of a room, and those that wait for earlier ones. */
export class RoomChanges {
  readonly #room: string;
  #last: RoomPosition | undefined;
  /** True if changes may be missing before the next one. */
  #is_uncertain = false;
  /** Changes after a gap, waiting. */
  #held: { readonly envelope: PlainEnvelope; readonly change: RoomPosition }[] = [];

  constructor(room: string) {
    this.#room = room;
  }

  /** The last delivered change; undefined: none yet, or unknown. */
  get last(): RoomPosition | undefined {
    return this.#last;
  }

  /** Whether a change waits for earlier ones. */
  get has_hole(): boolean {
    return this.#held.length > 0;
  }

  /** Adds a change. Returns it, or nothing if it is a duplicate or has to wait. */
  hear(envelope: PlainEnvelope, change: RoomPosition): PlainEnvelope[] {
    if (this.#isRepeat(change)) return [];
    if (this.#held.length === 0 && this.#isNext(envelope, change)) {
      this.#last = change;
      return [envelope];
    }
    // Changes beyond the bound are in the answer that the held ones wait for.
    if (this.#held.length < HELD_MAX) this.#held.push({ envelope, change });
    return [];
  }

  /** Records that changes may be missing. False if none has been received yet. */
  doubt(): boolean {
    if (this.#last !== undefined) return true;
    this.#is_uncertain = true;
    return false;
  }

  /** The missed changes, from an answer to a request after `last`; undefined if it lacks some. */
  missed(read: RoomRead): PlainEnvelope[] | undefined {
    const last = this.#last;
    const { epoch, events, version } = read;
    if (last === undefined || epoch !== last.epoch || events === undefined) return undefined;
    const missed = events.filter((event) => event.version > last.version)
      .map((event) => changeEnvelope(this.#room, event));
    if (version > last.version) this.#last = { epoch, version };
    return [...missed, ...this.#release()];
  }

  /** The whole state, replacing changes that are no longer available. */
  replace(whole: RoomState, now_ms: number): PlainEnvelope[] {
    const { epoch, version, state, lock } = whole;
    const is_news = !this.#isRepeat(whole);
    this.#last = { epoch, version };
    this.#is_uncertain = false;
    const update = { version, epoch, op: "state", state, lock, by: "", at_ms: now_ms };
    const change = changeEnvelope(this.#room, update);
    return [...(is_news && version > 0 ? [change] : []), ...this.#release()];
  }

  /** Gives up the missing changes before the first waiting one, and returns the waiting ones up to the next gap. */
  giveUp(): PlainEnvelope[] {
    const [first] = this.#held;
    if (first === undefined) return [];
    this.#last = { ...first.change, version: first.change.version - 1 };
    return this.#release();
  }

  /** The waiting changes that follow now; those after a gap keep waiting, those of other epochs are dropped. */
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

/** A room with loops, whose missed changes are fetched until `over` is aborted. */
interface RepairedRoom {
  readonly over: AbortController;
  readonly readers: Iterable<{ readonly buffer: Pick<MessageBuffer<Message>, "push"> }>;
}

/** The Shield's clock in Unix ms, and random numbers. */
export interface RepairOptions {
  readonly now: () => number;
  readonly random: () => number;
}

/** A key that no room has: the request needs only the events, not a state of up to 262,144 bytes. */
const NO_KEY = "no-such-key";
const WAITS = { base_ms: 1_000, max_ms: 15_000 };

/** Repairs the state of one room while the program receives it. */
export class StateRepair {
  readonly #room: CommandRoom;
  readonly #entry: RepairedRoom;
  readonly #options: RepairOptions;
  readonly #changes: RoomChanges;
  /** True if changes may be missing that were not requested yet. */
  #is_due = false;
  #is_running = false;
  /** True if the bus or this client has reported a loss, and no change has arrived since. */
  #is_reported = false;
  /** True if a loop follows the state: it has the state before the first change. */
  #is_followed = false;
  /** True if the client may not request changes; until the next session. */
  #is_refused = false;

  constructor(room: CommandRoom, entry: RepairedRoom, options: RepairOptions) {
    this.#room = room;
    this.#entry = entry;
    this.#options = options;
    this.#changes = new RoomChanges(room.id);
  }

  /** Handles a message of the bus. True if it is a change; a GAP triggers a request. */
  hear(envelope: PlainEnvelope): boolean {
    if (envelope.signal?.kind === "GAP") this.doubt();
    const change = changeOf(envelope);
    if (change === undefined) return false;
    this.#give(this.#changes.hear(envelope, change));
    // A request under way may return the missing changes; otherwise the next one follows.
    if (!this.#changes.has_hole) this.#is_reported = false;
    else if (!this.#is_running) this.#ask();
    return true;
  }

  /** Records a GAP: changes may be missing. */
  doubt(): void {
    this.#is_reported = true;
    if (this.#changes.doubt() || this.#is_followed) this.#ask();
  }

  /** Records that a loop reads the state, and follows it from there. */
  follow(): void {
    this.#is_followed = true;
  }

  /** Records that the room is received on another session. */
  renew(): void {
    this.#is_refused = false;
    this.doubt();
  }

  #give(envelopes: readonly PlainEnvelope[]): void {
    for (const envelope of envelopes) this.#tell(new Message(envelope));
  }

  #tell(message: Message): void {
    for (const { buffer } of this.#entry.readers) buffer.push(message);
  }

  #ask(): void {
    if (this.#is_refused) return this.#giveUp();
    this.#is_due = true;
    if (this.#is_running) return;
    this.#is_running = true;
    void this.#run();
  }

  /** Sends requests until nothing is due; never rejects. */
  async #run(): Promise<void> {
    const { random } = this.#options;
    const over = this.#entry.over.signal;
    let waited_ms = 0;
    try {
      // Many clients detect the same loss, so each waits a random time.
      await sleep(random() * REPAIR_SPREAD_MS, over);
      for (let attempt = 0; this.#is_due && !over.aborted; attempt++) {
        await this.#attempt();
        if (!this.#is_due) return;
        const wait_ms = backoffDelay(attempt, WAITS, random);
        waited_ms += wait_ms;
        if (waited_ms > REPAIR_GIVE_UP_MS) this.#giveUp();
        await sleep(wait_ms, over);
      }
    } finally {
      this.#is_running = false;
    }
  }

  /** Sends one request. Missing changes stay due, unless they can never be obtained. */
  async #attempt(): Promise<void> {
    this.#is_due = false;
    try {
      await this.#fetch();
      if (this.#changes.has_hole) this.#is_due = true;
    } catch (error) {
      if (this.#entry.over.signal.aborted) return;
      this.#is_refused = !isPassing(error);
      if (this.#is_refused) this.#giveUp();
      else this.#is_due = true;
    }
  }

  async #fetch(): Promise<void> {
    const room = this.#room;
    const over = this.#entry.over.signal;
    const options = { signal: over };
    const changes = this.#changes;
    if (changes.last !== undefined) {
      const query = { key: NO_KEY, events_after: changes.last.version };
      const missed = changes.missed(await ask<RoomValue>(room, "room.get", query, options));
      if (over.aborted) return;
      if (missed !== undefined) return this.#give(missed);
    }
    const whole = await ask<RoomState>(room, "room.get", {}, options);
    if (!over.aborted) this.#give(changes.replace(whole, this.#options.now()));
  }

  /** Delivers the waiting changes to the loops, with a GAP for each hole. */
  #giveUp(): void {
    while (this.#changes.has_hole) {
      if (!this.#is_reported) {
        this.#tell(gapMessage(this.#room.id, "changes-lost", this.#options.now()));
      }
      this.#is_reported = false;
      this.#give(this.#changes.giveUp());
    }
  }
}
