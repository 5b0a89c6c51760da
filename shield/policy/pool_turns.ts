/**
 * A bounded queue in which tenants take turns: one item of each, round and round, each tenant's own
 * items in order. Plain data, no time: used before the ring (in the process) and behind it (in the
 * worker), so that what one tenant piles up never stands before another's next item.
 */

/** What may wait. */
export interface TurnLimits {
  /** Items of one tenant. */
  readonly per_tenant: number;
  readonly total: number;
  readonly total_bytes: number;
}

/** No limits: for the worker's side, where the process bounds what is under way. */
export const UNBOUNDED: TurnLimits = {
  per_tenant: Infinity,
  total: Infinity,
  total_bytes: Infinity,
};

/** Items that wait for their turn. */
export interface Turns<T> {
  /**
   * Adds an item. Returns what had to go for it, mostly nothing: when the limits leave no room, the
   * newest items of the tenant that has most waiting, or the item itself when that is its tenant.
   */
  push(tenant_id: string, item: T, size_bytes: number): readonly T[];
  /** The next item of the next tenant that `eligible` lets through. */
  take(eligible?: (tenant_id: string, item: T) => boolean): T | undefined;
  /** Takes everything, in no particular order of tenants. */
  drain(): T[];
  readonly size: number;
  readonly bytes: number;
}

interface Lane<T> {
  readonly items: { item: T; size_bytes: number }[];
  /** Index of the first item; the array is cut when half of it is behind. */
  head: number;
  bytes: number;
}

/** What an item costs besides its bytes, so that many small ones weigh something too. */
const ITEM_BYTES = 1_024;
const NONE: readonly never[] = [];

const length = (lane: Lane<unknown>) => lane.items.length - lane.head;
const weight = (lane: Lane<unknown>) => lane.bytes + length(lane) * ITEM_BYTES;

/** Lanes in the order of turns: who has just had one goes to the end. */
interface Waiting<T> {
  readonly lanes: Map<string, Lane<T>>;
  size: number;
  bytes: number;
}

/** Takes the newest item of the heaviest lane, when that one is heavier than `mine` would be. */
function displace<T>(waiting: Waiting<T>, mine: number): T | undefined {
  let found: [string, Lane<T>] | undefined;
  for (const entry of waiting.lanes) {
    if (found === undefined || weight(entry[1]) > weight(found[1])) found = entry;
  }
  if (found === undefined || weight(found[1]) <= mine) return undefined;
  const [tenant_id, lane] = found;
  const last = lane.items.pop()!;
  lane.bytes -= last.size_bytes;
  if (length(lane) === 0) waiting.lanes.delete(tenant_id);
  waiting.size--;
  waiting.bytes -= last.size_bytes;
  return last.item;
}

function shift<T>(waiting: Waiting<T>, lane: Lane<T>): T {
  const { item, size_bytes } = lane.items[lane.head]!;
  lane.items[lane.head] = undefined!;
  lane.head++;
  if (lane.head >= 32 && lane.head * 2 >= lane.items.length) {
    lane.items.splice(0, lane.head);
    lane.head = 0;
  }
  lane.bytes -= size_bytes;
  waiting.size--;
  waiting.bytes -= size_bytes;
  return item;
}

/** An empty queue. */
export function createTurns<T>(limits: TurnLimits): Turns<T> {
  const waiting: Waiting<T> = { lanes: new Map(), size: 0, bytes: 0 };
  const { lanes } = waiting;
  return {
    push(tenant_id, item, size_bytes) {
      const lane = lanes.get(tenant_id) ?? { items: [], head: 0, bytes: 0 };
      if (length(lane) >= limits.per_tenant || size_bytes > limits.total_bytes) return [item];
      const mine = weight(lane) + size_bytes + ITEM_BYTES;
      let gone: T[] | undefined;
      while (
        waiting.size >= limits.total || waiting.bytes + size_bytes > limits.total_bytes
      ) {
        const other = displace(waiting, mine);
        gone ??= [];
        if (other === undefined) return [...gone, item];
        gone.push(other);
      }
      lane.items.push({ item, size_bytes });
      lane.bytes += size_bytes;
      lanes.set(tenant_id, lane);
      waiting.size++;
      waiting.bytes += size_bytes;
      return gone ?? NONE;
    },
    take(eligible) {
      for (const [tenant_id, lane] of lanes) {
        if (eligible !== undefined && !eligible(tenant_id, lane.items[lane.head]!.item)) continue;
        const item = shift(waiting, lane);
        lanes.delete(tenant_id);
        if (length(lane) > 0) lanes.set(tenant_id, lane);
        return item;
      }
      return undefined;
    },
    drain() {
      const items: T[] = [];
      for (const lane of lanes.values()) while (length(lane) > 0) items.push(shift(waiting, lane));
      lanes.clear();
      return items;
    },
    get size() {
      return waiting.size;
    },
    get bytes() {
      return waiting.bytes;
    },
  };
}
