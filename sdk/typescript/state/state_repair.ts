/**
 * Fetches the changes of one room's state that a subscription has missed, so that its loops get
 * each once and in order, as if it had come. Which changes those are is `room_changes.ts`. A room
 * of whose state nobody has heard anything is not asked for.
 */
import { ArqonError } from "@arqon/proto";
import type { PlainEnvelope } from "@arqon/proto";
import { backoffDelay } from "../time/backoff.ts";
import { REPAIR_GIVE_UP_MS, REPAIR_SPREAD_MS } from "../wire/bounds.ts";
import { changeOf, RoomChanges } from "./room_changes.ts";
import type { RoomState, RoomValue } from "./room_state.ts";
import { ask } from "../request/room_request.ts";
import type { CommandRoom } from "../request/room_request.ts";
import { sleep } from "../time/sleep.ts";

/** What a repair needs. */
export interface StateRepairOptions {
  readonly room: CommandRoom;
  /** Aborted when no loop of the program subscribes to the room. */
  readonly over: AbortSignal;
  /** Gives a change to the loops. */
  readonly give: (envelope: PlainEnvelope) => void;
  /** Puts a GAP into the loops: changes are missing and cannot be had. */
  readonly gap: () => void;
  /** Unix ms. */
  readonly now: () => number;
  readonly random: () => number;
}

/** A key that no room has: only the events are wanted, not a state of perhaps 262,144 bytes. */
const NO_KEY = "no-such-key";
/** The waits between two tries. */
const WAITS = { base_ms: 1_000, max_ms: 15_000 };

/** Repairs the state of one room, for as long as somebody receives it. */
export class StateRepair {
  readonly #options: StateRepairOptions;
  readonly #changes: RoomChanges;
  /** True when something may be missing for which no question has been sent. */
  #is_due = false;
  #is_running = false;
  /** True when the bus, or this client, has told a loss, and no change has come since. */
  #is_told = false;
  /** True when the client may not ask; until the next session. */
  #is_refused = false;

  constructor(options: StateRepairOptions) {
    this.#options = options;
    this.#changes = new RoomChanges(options.room.id);
  }

  /**
   * Takes a message of the bus. True when it is a change; a GAP makes it ask for what is missing.
   */
  hear(envelope: PlainEnvelope): boolean {
    if (envelope.signal?.kind === "GAP") this.doubt();
    const change = changeOf(envelope);
    if (change === undefined) return false;
    this.#give(this.#changes.hear(envelope, change));
    // A question that is under way may bring what is missing; when it does not, the next one follows it.
    if (!this.#changes.has_hole) this.#is_told = false;
    else if (!this.#is_running) this.#ask();
    return true;
  }

  /** Takes note that a GAP was put: changes may be missing. */
  doubt(): void {
    this.#is_told = true;
    if (this.#changes.doubt()) this.#ask();
  }

  /** Takes note that the room is heard on another session. */
  renew(): void {
    this.#is_refused = false;
    this.doubt();
  }

  #give(envelopes: readonly PlainEnvelope[]): void {
    for (const envelope of envelopes) this.#options.give(envelope);
  }

  #ask(): void {
    if (this.#is_refused) return this.#giveUp();
    this.#is_due = true;
    if (this.#is_running) return;
    this.#is_running = true;
    void this.#run();
  }

  /** Asks until nothing is due; never rejects. */
  async #run(): Promise<void> {
    const { over, random } = this.#options;
    let waited_ms = 0;
    try {
      // Many clients learn of one loss.
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

  /** Asks once. Changes that it could not get are still due, unless nobody will ever have them. */
  async #attempt(): Promise<void> {
    this.#is_due = false;
    try {
      await this.#fetch();
      if (this.#changes.has_hole) this.#is_due = true;
    } catch (error) {
      if (this.#options.over.aborted) return;
      this.#is_refused = !isPassing(error);
      if (this.#is_refused) this.#giveUp();
      else this.#is_due = true;
    }
  }

  async #fetch(): Promise<void> {
    const { room, over, now } = this.#options;
    const options = { signal: over };
    const changes = this.#changes;
    if (changes.last !== undefined) {
      const asked = { key: NO_KEY, events_after: changes.last.version };
      const missed = changes.missed(await ask<RoomValue>(room, "room.get", asked, options));
      if (over.aborted) return;
      if (missed !== undefined) return this.#give(missed);
    }
    const whole = await ask<RoomState>(room, "room.get", {}, options);
    if (!over.aborted) this.#give(changes.replace(whole, now()));
  }

  /** Gives the loops the changes that wait, with a GAP for each hole. */
  #giveUp(): void {
    while (this.#changes.has_hole) {
      if (!this.#is_told) this.#options.gap();
      this.#is_told = false;
      this.#give(this.#changes.giveUp());
    }
  }
}

/** Whether the same question may be answered later. */
function isPassing(error: unknown): boolean {
  if (!(error instanceof ArqonError)) return false;
  return error.code === 408 || error.code === 429 || error.code >= 500;
}
