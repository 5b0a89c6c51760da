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
  readonly tenant_id: string;
  readonly items: { item: T; size_bytes: number }[];
  /** Index of the first item; the array is cut when half of it is behind. */
  head: number;
  bytes: number;
  /** Neighbours in the order of turns; those of a lane without items are undefined. */
  before: Lane<T> | undefined;
  after: Lane<T> | undefined;
}

/** What an item costs besides its bytes, so that many small ones weigh something too. */
const ITEM_BYTES = 1_024;
const NONE: readonly never[] = [];

const length = (lane: Lane<unknown>) => lane.items.length - lane.head;
const weight = (lane: Lane<unknown>) => lane.bytes + length(lane) * ITEM_BYTES;

/**
 * Lanes without items that are kept: making a lane for every item would leave one behind for the
 * collector each time, and `Map` a table for every few of them (`sequence_table.ts` has what that costs).
 */
const IDLE_LANES = 1_024;

interface Waiting<T> {
  readonly lanes: Map<string, Lane<T>>;
  /** Lanes that have items, in the order of turns: who has just had one goes to the end. */
  first: Lane<T> | undefined;
  last: Lane<T> | undefined;
  size: number;
  bytes: number;
}

function append<T>(waiting: Waiting<T>, lane: Lane<T>): void {
  waiting.lanes.set(lane.tenant_id, lane);
  lane.before = waiting.last;
  if (waiting.last === undefined) waiting.first = lane;
  else waiting.last.after = lane;
  waiting.last = lane;
}

function unlink<T>(waiting: Waiting<T>, lane: Lane<T>): void {
  const { before, after } = lane;
  if (before === undefined) waiting.first = after;
  else before.after = after;
  if (after === undefined) waiting.last = before;
  else after.before = before;
  lane.before = lane.after = undefined;
}

/** It has no items any more. */
function rest<T>(waiting: Waiting<T>, lane: Lane<T>): void {
  unlink(waiting, lane);
  if (waiting.lanes.size > IDLE_LANES) waiting.lanes.delete(lane.tenant_id);
}

/** Takes the newest item of the heaviest lane, when that one is heavier than `mine` would be. */
function displace<T>(waiting: Waiting<T>, mine: number): T | undefined {
  let found: Lane<T> | undefined;
  for (let lane = waiting.first; lane !== undefined; lane = lane.after) {
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
    { tenant_id, items: [], head: 0, bytes: 0, before: undefined, after: undefined };
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

/** An empty queue. */
export function createTurns<T>(limits: TurnLimits): Turns<T> {
  const waiting: Waiting<T> = {
    lanes: new Map(),
    first: undefined,
    last: undefined,
    size: 0,
    bytes: 0,
  };
  const take = (lane: Lane<T>): T => {
    const item = shift(waiting, lane);
    if (length(lane) === 0) rest(waiting, lane);
    else if (waiting.last !== lane) {
      unlink(waiting, lane);
      append(waiting, lane);
    }
    return item;
  };
  return {
    push: (tenant_id, item, size_bytes) => push(waiting, limits, tenant_id, item, size_bytes),
    take(eligible) {
      for (let lane = waiting.first; lane !== undefined; lane = lane.after) {
        const { item } = lane.items[lane.head]!;
        if (eligible === undefined || eligible(lane.tenant_id, item)) return take(lane);
      }
      return undefined;
    },
    drain() {
      const items: T[] = [];
      while (waiting.first !== undefined) items.push(take(waiting.first));
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
