/**
 * Sends clients the number of subscribers of their channels, on all Shields: a second after it changed on this Shield,
 * and within five seconds of a change on another one.
 */
import type { Logger } from "../../shared/logs/log.ts";

const TICK_MS = 1_000;
/** The ticks between two queries about every channel. */
const TICKS = 5;
/** The most rooms in one query. */
const ASKED_MAX = 1_000;

/** Sends a client the count of its channel; false: it has left the channel. */
type TellCount = (count: number) => boolean;

interface CountsOptions {
  /** Subscribers on all Shields, in the order of the rooms. Rejects if a Shield does not answer. */
  readonly everywhere: (tenant_id: string, rooms: readonly string[]) => Promise<readonly number[]>;
  readonly here: (tenant_id: string, room_id: string) => number;
  readonly log: Pick<Logger, "debug">;
}

interface Watched {
  /** The subscribers on this Shield at the last query. */
  here: number;
  readonly tells: Set<TellCount>;
}

/** The watched channels of a Shield. */
export class SubscriptionCounts {
  readonly #options: CountsOptions;
  /** By tenant, then room. */
  readonly #tenants = new Map<string, Map<string, Watched>>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #ticks = 0;
  #is_idle = true;

  constructor(options: CountsOptions) {
    this.#options = options;
  }

  /** Calls `tell` with counts until it returns false. */
  watch(tenant_id: string, room_id: string, tell: TellCount): void {
    const rooms = this.#tenants.get(tenant_id) ?? new Map<string, Watched>();
    this.#tenants.set(tenant_id, rooms);
    const { tells } = rooms.get(room_id) ?? { tells: new Set() };
    // If another subscriber has left meanwhile, the sum is unchanged, but this client does not know it yet.
    rooms.set(room_id, { here: -1, tells: tells.add(tell) });
    if (this.#is_idle) this.#next();
  }

  /** Ends the counting, when no client is left. */
  stop(): void {
    this.#tenants.clear();
    // A running tick ends on its own.
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#is_idle = true;
  }

  #next(): void {
    this.#is_idle = this.#tenants.size === 0;
    this.#timer = this.#is_idle ? undefined : setTimeout(() => this.#tick(), TICK_MS);
  }

  async #tick(): Promise<void> {
    this.#timer = undefined;
    const is_full = ++this.#ticks % TICKS === 0;
    for (const [tenant_id, rooms] of this.#tenants) {
      const due = [...rooms].filter(([room_id, watched]) => {
        const here = this.#options.here(tenant_id, room_id);
        const is_due = is_full || here !== watched.here;
        watched.here = here;
        return is_due;
      });
      for (let at = 0; at < due.length; at += ASKED_MAX) {
        await this.#ask(tenant_id, rooms, due.slice(at, at + ASKED_MAX));
      }
      if (rooms.size === 0) this.#tenants.delete(tenant_id);
    }
    this.#next();
  }

  async #ask(tenant_id: string, rooms: Map<string, Watched>, due: [string, Watched][]) {
    const { everywhere, log } = this.#options;
    try {
      const counts = await everywhere(tenant_id, due.map(([room_id]) => room_id));
      for (const [at, [room_id, { tells }]] of due.entries()) {
        for (const tell of tells) if (!tell(counts[at] ?? 0)) tells.delete(tell);
        if (tells.size === 0) rooms.delete(room_id);
      }
    } catch (error) {
      // A sum without all Shields is not sent; the next query is soon.
      log.debug("subscribers were not counted", { error });
    }
  }
}
