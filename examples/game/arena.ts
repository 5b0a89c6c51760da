/**
 * The arena as the room tells it: its answer to "join", and a tick twenty times a second. Pure but for what it holds;
 * what is drawn is `main.ts`, and the rules are `policies/reducers/arena.ts`.
 */

/** The field, as the room answers who joins. */
export interface Field {
  readonly wide: number;
  readonly high: number;
  /** Steps of a cell; a gem lies in one. */
  readonly cell: number;
  readonly tick: number;
  readonly gems: readonly number[];
}

/** What an event `tick` says: where everybody is, and which gems come and go. */
export interface Tick {
  readonly tick: number;
  readonly players: Readonly<Record<string, readonly [x: number, y: number, score: number]>>;
  readonly gems: readonly (readonly [cell: number, is_there: 0 | 1])[];
}

/** Ticks that wait for the answer to "join" at most; then the oldest is missing. */
const WAITING = 200;

/** What is known of the arena. */
export class Arena {
  readonly gems = new Set<number>();
  field: Field | undefined;
  /** The last tick and the one before it, between which is drawn. */
  now: Tick | undefined;
  before: Tick | undefined;
  #waiting: Tick[] = [];

  /** Forgets what may be wrong, until `begin`. */
  leave(): void {
    this.field = undefined;
  }

  /** The room has answered: what came since counts on top of it. False: of that, a tick is missing. */
  begin(field: Field): boolean {
    this.field = field;
    this.now = undefined;
    this.gems.clear();
    for (const cell of field.gems) this.gems.add(cell);
    return this.#waiting.splice(0).map((tick) => this.take(tick)).every(Boolean);
  }

  /** A tick has come. False: one is missing between this and the last, so that the field is to be asked for. */
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
