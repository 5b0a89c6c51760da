/**
 * Time slices of the event loop for work that does not fit into one turn: batches, pages of stored messages, large
 * requests. Within a turn such work runs for SLICE_MS in total, over all tenants and connections; then sockets are
 * polled, and the tenant that has used least continues.
 */
import type { Making } from "./making.ts";
import { nextTurn } from "./next_turn.ts";
import { createTurns, UNBOUNDED } from "./tenant_turns.ts";

/** Replaces the tenant for requests whose tenant is not known yet. */
export const STRANGERS = "";
/** How long such work runs in one turn, in ms. A started piece of work is not interrupted. */
export const SLICE_MS = 2;
/** The longest piece of work made of many small ones, so that another tenant's piece fits into the same turn. */
export const PIECE_MS = 0.5;

/** The event loop's functions that slices need. */
interface SliceLoop {
  /** Monotonic. */
  readonly now_ms: () => number;
  /** Calls the job in a later turn, after sockets were polled. */
  readonly nextTurn: (job: () => void) => void;
  /** Calls the job in this turn, after the already settled promises. */
  readonly soon: (job: () => void) => void;
}

interface Piece {
  readonly tenant_id: string;
  readonly resume: () => void;
}

/** The slices of one event loop. */
export class Slices {
  readonly #loop: SliceLoop;
  /** Bounded by the requests under way: each waits for one piece at a time. */
  readonly #waiting = createTurns<Piece>(UNBOUNDED);
  /** Whether a piece has started in this turn, or will start in the next one. */
  #is_busy = false;
  #turn_began_ms = 0;

  constructor(loop: SliceLoop) {
    this.#loop = loop;
  }

  /** Await it before each piece of work for a tenant; undefined: start at once. */
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

  /** Starts the next piece after this tenant's present one. */
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

/** Makes something in pieces of so many steps, in slices of the tenant. Rejects as a step throws. */
export async function makeInPieces<Made>(
  tenant_id: string,
  steps: Making<Made>,
  a_piece: number,
): Promise<Made> {
  for (;; await slice(tenant_id)) {
    for (let taken = 0; taken < a_piece; taken++) {
      const { done, value } = steps.next();
      if (done === true) return value;
    }
  }
}

/**
 * Runs steps in pieces of this many, the first one at once and the others in slices of the tenant; undefined: one piece
 * was enough.
 */
export function inPieces(
  tenant_id: string,
  steps: Iterable<void>,
  a_piece: number,
): Promise<void> | undefined {
  const left = steps[Symbol.iterator]();
  const isOver = () => {
    for (let taken = 0; taken < a_piece; taken++) if (left.next().done === true) return true;
    return false;
  };
  if (isOver()) return undefined;
  return (async () => {
    do await slice(tenant_id); while (!isOver());
  })();
}
