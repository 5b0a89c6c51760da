/**
 * The number of a tenant's streams, their share of the bucket, and expired ones: creating a stream counts them, and
 * removes expired ones, once per minute and tenant. Idle tenants cost nothing.
 */
import { BoundedMap } from "../../shared/containers/bounded_map.ts";
import type { Env } from "../../shared/env.ts";
import { type Ends, lookUp } from "./lifecycle.ts";
import { StreamRefusal } from "./answers.ts";
import type { Records } from "./record.ts";

/** How long a count is valid, in ms. */
const COUNT_MS = 60_000;
/** The streams checked after one count. */
const LOOKED_AT_MAX = 1_000;
/** The tenants with a cached count. */
const TENANTS_MAX = 10_000;

interface Counted {
  readonly counted_ms: number;
  /** Includes streams created since. */
  count: number;
}

type Counts = Ends & Pick<Env, "monotonic_ms">;

/** Throws 429 if the tenant's share of the bucket has no room for so many bytes more. */
export async function requireRoom(
  records: Pick<Records, "hasRoom">,
  tenant_id: string,
  size_bytes: number,
): Promise<void> {
  if (await records.hasRoom(tenant_id, size_bytes)) return;
  const detail = "the tenant's streams and their producers take its share of the bucket";
  throw new StreamRefusal("stream-too-many", detail);
}

/** The streams of all tenants, as this process has counted them. */
export class Population {
  readonly #max: number;
  readonly #tenants = new BoundedMap<string, Counted>(TENANTS_MAX);
  /** Where the last check of a tenant's streams ended. */
  readonly #places = new BoundedMap<string, number>(TENANTS_MAX);

  /** `max`: the most streams of a tenant. */
  constructor(max: number) {
    this.#max = max;
  }

  /** Counts one more. Throws 429 at the tenant's limit. */
  async enter(context: Counts, tenant_id: string): Promise<void> {
    const known = this.#tenants.get(tenant_id);
    const is_good = known !== undefined && context.monotonic_ms() - known.counted_ms < COUNT_MS;
    const counted = is_good ? known : await this.#count(context, tenant_id);
    if (counted.count >= this.#max) {
      throw new StreamRefusal("stream-too-many", `a tenant has at most ${this.#max} streams`);
    }
    counted.count++;
  }

  async #count(context: Counts, tenant_id: string): Promise<Counted> {
    const rooms = await context.records.roomsOf(tenant_id);
    // Concurrent callers use this count: one check runs at a time.
    const counted: Counted = { counted_ms: context.monotonic_ms(), count: rooms.length };
    this.#tenants.renew(tenant_id, counted);
    const is_full = rooms.length >= this.#max;
    const looking = this.#look(context, tenant_id, rooms, counted);
    // Only a tenant at its limit has to wait. A failure here occurs again for the reader of that stream.
    if (is_full) await looking;
    return counted;
  }

  async #look(
    context: Counts,
    tenant_id: string,
    rooms: readonly string[],
    counted: Counted,
  ): Promise<void> {
    const sorted = rooms.toSorted();
    const from = (this.#places.get(tenant_id) ?? 0) % Math.max(1, sorted.length);
    const due = [...sorted.slice(from), ...sorted.slice(0, from)].slice(0, LOOKED_AT_MAX);
    this.#places.renew(tenant_id, from + due.length);
    for (const room_id of due) {
      // An unknown one counts until it is looked up again.
      const found = await lookUp(context, { tenant_id, room_id }).catch(() => "unknown" as const);
      if (found === undefined) counted.count--;
    }
  }
}
