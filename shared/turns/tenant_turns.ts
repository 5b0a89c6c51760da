/**
 * A bounded fair queue of tenants by used time: the next item is always of the waiting tenant that has used least, and
 * each tenant's items are in order. A tenant that returns after a pause starts level with the others, so that no tenant
 * saves up time, and none pays for time that no other wanted. Plain data, no clock. It is used before the ring (in the
 * process) and after it (in the worker), so that neither the number nor the cost of one tenant's items delays another's
 * next item.
 */
import { type HeapEntry, TurnHeap } from "./turn_heap.ts";

interface TurnLimits {
  /** The most items of one tenant. */
  readonly per_tenant: number;
  readonly total: number;
  readonly total_bytes: number;
}

/** No bounds: for the worker's side, where the process bounds what is under way. */
export const UNBOUNDED: TurnLimits = {
  per_tenant: Infinity,
  total: Infinity,
  total_bytes: Infinity,
};

/** The queued items. */
export interface TenantTurns<T> {
  /**
   * Adds an item. Returns the items that were dropped for it, mostly none: above the limits, the newest of the tenant
   * with the longest queue, or the new item itself if that is its own tenant.
   */
  push(tenant_id: string, item: T, size_bytes: number): readonly T[];
  /** Records an item that runs at once because the queue is empty. */
  pass(tenant_id: string): void;
  /** Takes the next item of the tenant that has used least among those that `eligible` accepts. */
  take(eligible?: (tenant_id: string, item: T) => boolean): T | undefined;
  /** Charges the tenant with the time of its items, which is known only after they were taken. */
  charge(tenant_id: string, used_ms: number): void;
  /** Takes everything of one tenant, in order. */
  takeAll(tenant_id: string): T[];
  /** Takes everything, in no particular order of tenants. */
  drain(): T[];
  readonly size: number;
  readonly bytes: number;
}

/** One tenant's items. Its rank is the time that it has used, in µs. */
interface Lane<T> extends HeapEntry {
  readonly tenant_id: string;
  readonly items: { item: T; size_bytes: number }[];
  /** Index of the first item; the array is trimmed when half of it is used up. */
  head: number;
  bytes: number;
}

/** The weight of an item besides its bytes, so that many small ones count, too. */
const ITEM_BYTES = 1_024;
/**
 * The fixed cost of a turn besides the charged time: the way to the worker and back, which the worker cannot measure.
 * So tenants with unmeasurably cheap items still alternate.
 */
const TURN_US = 10;
const NONE: readonly never[] = [];

const length = (lane: Lane<unknown>) => lane.items.length - lane.head;
const weight = (lane: Lane<unknown>) => lane.bytes + length(lane) * ITEM_BYTES;

/**
 * The most empty lanes that are kept. A lane made for every item would leave one behind for the garbage collector each
 * time, and in a `Map` a table for every few of them (`sequence_table.ts` has what that costs).
 */
const IDLE_LANES = 1_024;

interface Waiting<T> {
  readonly lanes: Map<string, Lane<T>>;
  readonly heap: TurnHeap<Lane<T>>;
  /** The used time of the last turn's tenant before it: a returning tenant starts here. */
  clock_us: number;
  arrivals: number;
  size: number;
  bytes: number;
}

function append<T>(waiting: Waiting<T>, lane: Lane<T>): void {
  waiting.lanes.set(lane.tenant_id, lane);
  lane.rank = Math.max(lane.rank, waiting.clock_us);
  lane.arrival = ++waiting.arrivals;
  waiting.heap.add(lane);
}

/** Records that a waiting tenant has no more items. */
function rest<T>(waiting: Waiting<T>, lane: Lane<T>): void {
  waiting.heap.remove(lane);
  if (waiting.lanes.size > IDLE_LANES) waiting.lanes.delete(lane.tenant_id);
}

/** Removes the newest item of the heaviest lane, if that lane is heavier than `mine` would be. */
function displace<T>(waiting: Waiting<T>, mine: number): T | undefined {
  let found: Lane<T> | undefined;
  for (const lane of waiting.heap.values()) {
    if (found === undefined || weight(lane) > weight(found)) found = lane;
  }
  if (found === undefined || weight(found) <= mine) return undefined;
  const last = found.items.pop()!;
  found.bytes -= last.size_bytes;
  if (length(found) === 0) rest(waiting, found);
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

function laneOf<T>({ lanes }: Waiting<T>, tenant_id: string): Lane<T> {
  return lanes.get(tenant_id) ??
    { tenant_id, items: [], head: 0, bytes: 0, rank: 0, arrival: 0, place: -1 };
}

function push<T>(
  waiting: Waiting<T>,
  limits: TurnLimits,
  tenant_id: string,
  item: T,
  size_bytes: number,
): readonly T[] {
  const lane = laneOf(waiting, tenant_id);
  if (length(lane) >= limits.per_tenant || size_bytes > limits.total_bytes) return [item];
  const mine = weight(lane) + size_bytes + ITEM_BYTES;
  let gone: T[] | undefined;
  while (waiting.size >= limits.total || waiting.bytes + size_bytes > limits.total_bytes) {
    const other = displace(waiting, mine);
    gone ??= [];
    if (other === undefined) return [...gone, item];
    gone.push(other);
  }
  if (length(lane) === 0) append(waiting, lane);
  lane.items.push({ item, size_bytes });
  lane.bytes += size_bytes;
  waiting.size++;
  waiting.bytes += size_bytes;
  return gone ?? NONE;
}

/** Takes the next item of the lane, which then follows lanes that have used less. */
function take<T>(waiting: Waiting<T>, lane: Lane<T>): T {
  const item = shift(waiting, lane);
  waiting.clock_us = Math.max(waiting.clock_us, lane.rank);
  lane.rank += TURN_US;
  lane.arrival = ++waiting.arrivals;
  if (length(lane) === 0) rest(waiting, lane);
  else waiting.heap.grown(lane);
  return item;
}

/** Charges the lane with a turn without waiting. */
function pass<T>(waiting: Waiting<T>, lane: Lane<T>): void {
  waiting.clock_us = Math.max(waiting.clock_us, lane.rank);
  lane.rank = waiting.clock_us + TURN_US;
  // A lane that has arrived before is kept.
  if (lane.arrival > 0) return;
  lane.arrival = ++waiting.arrivals;
  if (waiting.lanes.size < IDLE_LANES) waiting.lanes.set(lane.tenant_id, lane);
}

/** The eligible lane that has used least. */
function nextOf<T>(
  { heap }: Waiting<T>,
  eligible: (tenant_id: string, item: T) => boolean,
): Lane<T> | undefined {
  let passed: Lane<T>[] | undefined;
  let lane = heap.first;
  while (lane !== undefined && !eligible(lane.tenant_id, lane.items[lane.head]!.item)) {
    heap.remove(lane);
    (passed ??= []).push(lane);
    lane = heap.first;
  }
  if (passed !== undefined) { for (const one of passed) heap.add(one); }
  return lane;
}

/** Makes an empty queue. */
export function createTurns<T>(limits: TurnLimits): TenantTurns<T> {
  const waiting: Waiting<T> = {
    lanes: new Map(),
    heap: new TurnHeap(),
    clock_us: 0,
    arrivals: 0,
    size: 0,
    bytes: 0,
  };
  return {
    push: (tenant_id, item, size_bytes) => push(waiting, limits, tenant_id, item, size_bytes),
    pass: (tenant_id) => pass(waiting, laneOf(waiting, tenant_id)),
    take(eligible) {
      const { first } = waiting.heap;
      const lane = eligible === undefined ? first : nextOf(waiting, eligible);
      return lane === undefined ? undefined : take(waiting, lane);
    },
    charge(tenant_id, used_ms) {
      const lane = waiting.lanes.get(tenant_id);
      if (lane === undefined) return;
      lane.rank += used_ms * 1_000;
      waiting.heap.grown(lane);
    },
    takeAll(tenant_id) {
      const lane = waiting.lanes.get(tenant_id);
      const items: T[] = [];
      if (lane === undefined || lane.place < 0) return items;
      while (length(lane) > 0) items.push(shift(waiting, lane));
      rest(waiting, lane);
      return items;
    },
    drain() {
      const items: T[] = [];
      for (let lane = waiting.heap.first; lane !== undefined; lane = waiting.heap.first) {
        items.push(take(waiting, lane));
      }
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
