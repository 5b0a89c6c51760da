/**
 * Slices of the event loop for work that has more to do than fits into one turn of it: batches, pages of stored
 * messages, large requests. Within a turn such work goes on for SLICE_MS, whoever asks and over however many
 * connections; then sockets are looked at, and the tenant that has used least goes on.
 */
import { nextTurn } from "./next_turn.ts";
import { createTurns, UNBOUNDED } from "./tenant_turns.ts";

/** In the place of a tenant, for requests whose tenant is not known yet. */
export const STRANGERS = "";
/** How long such work goes on in one turn, in ms. A piece of work that has begun is not interrupted. */
export const SLICE_MS = 2;
/** How long a piece of work may be that is made of many small ones, so that one of somebody else fits into the same turn. */
export const PIECE_MS = 0.5;

/** What slices need of the event loop. */
export interface SliceLoop {
  /** Monotonic. */
  readonly now_ms: () => number;
  /** Calls the job in a later turn, after sockets were looked at. */
  readonly nextTurn: (job: () => void) => void;
  /** Calls the job in this turn, behind the promises that are settled now. */
  readonly soon: (job: () => void) => void;
}

interface Piece {
  readonly tenant_id: string;
  readonly resume: () => void;
}

/** The slices of one event loop. */
export class Slices {
  readonly #loop: SliceLoop;
  /** Requests under way bound it: each waits for one piece at a time. */
  readonly #waiting = createTurns<Piece>(UNBOUNDED);
  /** Whether a piece has begun in this turn, or is to begin in the next one. */
  #is_busy = false;
  #turn_began_ms = 0;

  constructor(loop: SliceLoop) {
    this.#loop = loop;
  }

  /** To be awaited before each piece of work for a tenant; undefined: it may begin at once. */
  enter(tenant_id: string): Promise<void> | undefined {
    if (!this.#is_busy) {
      this.#is_busy = true;
      this.#turn_began_ms = this.#loop.now_ms();
      this.#waiting.pass(tenant_id);
      this.#follow(tenant_id);
      return undefined;
    }
    return new Promise((resume) => this.#waiting.push(tenant_id, { tenant_id, resume }, 0));
  }

  /** Behind the piece of this tenant that begins now, the next one begins. */
  #follow(tenant_id: string): void {
    const from_ms = this.#loop.now_ms();
    this.#loop.soon(() => {
      const now_ms = this.#loop.now_ms();
      this.#waiting.charge(tenant_id, now_ms - from_ms);
      if (this.#waiting.size === 0) this.#is_busy = false;
      else if (now_ms - this.#turn_began_ms < SLICE_MS) this.#goOn();
      else {
        this.#loop.nextTurn(() => {
          this.#turn_began_ms = this.#loop.now_ms();
          this.#goOn();
        });
      }
    });
  }

  #goOn(): void {
    const { tenant_id, resume } = this.#waiting.take()!;
    this.#follow(tenant_id);
    resume();
  }
}

const slices = new Slices({
  now_ms: () => performance.now(),
  nextTurn,
  soon: (job) => void setImmediate(job),
});

/** As `Slices.enter`, for the event loop of this thread. */
export const slice = (tenant_id: string): Promise<void> | undefined => slices.enter(tenant_id);
