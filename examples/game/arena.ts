/**
 * The state of the arena from the room's messages: its answer to "join", and a tick 20 times a second. It has no side
 * effects. `main.ts` draws it; `policies/reducers/arena.ts` has the rules.
 */

/** The field in the room's answer to "join". */
export interface Field {
  readonly wide: number;
  readonly high: number;
  /** Steps per cell; a gem occupies one cell. */
  readonly cell: number;
  readonly tick: number;
  readonly gems: readonly number[];
}

/** The data of an event `tick`: positions of all players, and new and removed gems. */
export interface Tick {
  readonly tick: number;
  readonly players: Readonly<Record<string, readonly [x: number, y: number, score: number]>>;
  readonly gems: readonly (readonly [cell: number, is_there: 0 | 1])[];
}

/** Ticks that wait for the answer to "join" at most; then the oldest is missing. */
const WAITING = 200;

/** The known state of the arena. */
export class Arena {
  readonly gems = new Set<number>();
  field: Field | undefined;
  /** The last two ticks. The page draws positions between them. */
  now: Tick | undefined;
  before: Tick | undefined;
  #waiting: Tick[] = [];

  /** Drops the state, which may be wrong, until `begin`. */
  leave(): void {
    this.field = undefined;
  }

  /** Applies the room's answer, and the later ticks on top of it. Returns false if a tick is missing. */
  begin(field: Field): boolean {
    this.field = field;
    this.now = undefined;
    this.gems.clear();
    for (const cell of field.gems) this.gems.add(cell);
    return this.#waiting.splice(0).map((tick) => this.take(tick)).every(Boolean);
  }

  /**
   * Applies a tick. Returns false if one is missing between this and the last; the page must then request the field.
   */
  take(tick: Tick): boolean {
    if (this.field === undefined) {
      this.#waiting = [...this.#waiting, tick].slice(-WAITING);
      return true;
    }
    const last = Math.max(this.field.tick, this.now?.tick ?? 0);
    if (tick.tick <= this.field.tick) return true;
    for (const [cell, is_there] of tick.gems) {
      if (is_there === 1) this.gems.add(cell);
      else this.gems.delete(cell);
    }
    this.before = this.now;
    this.now = tick;
    return tick.tick === last + 1;
  }
}
