/**
 * The order in which a process makes modules ready. Modules whose trial compilation is known to have
 * passed go beside those that must be tried first; tenants take turns; tenants whose clients are
 * waiting go before all others. Making a module ready is `module_set.ts`'s business.
 */
import { createTurns, type Turns, UNBOUNDED } from "../../../shared/turns/tenant_turns.ts";

/**
 * How many modules whose trial has passed before are made ready at a time: each is fetched and metered.
 */
export const QUICK_AT_ONCE = 4;
/** How many modules are tried at a time: one is tried while the next is fetched and metered. */
export const TRIED_AT_ONCE = 2;

/** One module that waits. */
interface Waiting {
  /** The tenants whose chains name the module. */
  readonly wanted_by: ReadonlySet<string>;
  readonly start: () => void;
}

interface Track {
  readonly at_once: number;
  running: number;
  readonly waiting: Turns<Waiting>;
}

const track = (at_once: number): Track => ({
  at_once,
  running: 0,
  waiting: createTurns(UNBOUNDED),
});

/** The modules that are to be made ready. */
export class ModuleQueue {
  readonly #isKnown: (sha256: string) => Promise<boolean>;
  readonly #quick = track(QUICK_AT_ONCE);
  readonly #tried = track(TRIED_AT_ONCE);
  readonly #urgent = new Set<string>();
  /** Callbacks that wait until no module is left whose trial has passed before. */
  readonly #idle = new Set<() => void>();

  /**
   * Makes an empty queue. `isKnown` says whether a module's trial has passed before; it must not
   * reject.
   */
  constructor(isKnown: (sha256: string) => Promise<boolean>) {
    this.#isKnown = isKnown;
  }

  /** Runs `job` when its turn has come; `wanted_by` is read until then and may grow. */
  async run<T>(
    sha256: string,
    wanted_by: ReadonlySet<string>,
    job: () => Promise<T>,
  ): Promise<T> {
    const quick = await this.#inTurn(
      this.#quick,
      wanted_by,
      async () => await this.#isKnown(sha256) ? { value: await job() } : undefined,
    );
    return quick === undefined ? await this.#inTurn(this.#tried, wanted_by, job) : quick.value;
  }

  /** Resolves when only modules are left that must be tried first. */
  quickDone(): Promise<void> {
    if (this.#quick.running === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.add(resolve));
  }

  /** Lets what this tenant waits for go first from now on. */
  urge(tenant_id: string): void {
    this.#urgent.add(tenant_id);
  }

  /** Ends what `urge` began: the tenant waits no more. */
  calm(tenant_id: string): void {
    this.#urgent.delete(tenant_id);
  }

  async #inTurn<T>(
    track: Track,
    wanted_by: ReadonlySet<string>,
    job: () => Promise<T>,
  ): Promise<T> {
    if (track.running >= track.at_once) {
      const [tenant_id = ""] = wanted_by;
      await new Promise<void>((start) => track.waiting.push(tenant_id, { wanted_by, start }, 0));
    } else track.running++;
    try {
      return await job();
    } finally {
      this.#next(track);
    }
  }

  /** Gives the place of a module that is done to the next. */
  #next(track: Track): void {
    const isUrgent = (_: string, { wanted_by }: Waiting) => !this.#urgent.isDisjointFrom(wanted_by);
    const urgent = this.#urgent.size === 0 ? undefined : track.waiting.take(isUrgent);
    const next = urgent ?? track.waiting.take();
    if (next !== undefined) return next.start();
    track.running--;
    if (track !== this.#quick || track.running > 0) return;
    for (const resolve of this.#idle) resolve();
    this.#idle.clear();
  }
}
