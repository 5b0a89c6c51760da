/**
 * Measures the cost of a command while rooms grow from ten to a hundred thousand on one Brain: to make a
 * room, to write to the rooms just made, and to write to any of all rooms, of which the Brain remembers only
 * `[brain] rooms_in_memory`. No room gets more than some twenty writes, so that documents are equally small
 * at each step. The bucket does not sync each write, which would be the disk's time and not the Brain's.
 */
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { type Brains, startBrains, total } from "../measure/brains.ts";
import { type NextRoom, type Pace, type RoomName, runLoad, type Spent } from "./rooms_load.ts";

/** The cost of one kind of command at one step. */
export type GrowthCost = Pace & Spent;

/** The figures of one step. */
export interface GrowthStep {
  readonly rooms: number;
  /** Cost of the command that makes a room, for the rooms that this step added. */
  readonly create: GrowthCost;
  /** Cost of further writes to the rooms that were made last. */
  readonly write: GrowthCost;
  /** Cost of writes to so many rooms, spread over all. */
  readonly write_any: GrowthCost;
  /** CPU time of the Brain without any command, in µs per second. */
  readonly idle_us: number;
  readonly rss_bytes: number;
}

const FIRST = 10;
/** Commands that are under way while rooms are made, and while commands are timed. */
const CREATE_OUTSTANDING = 64;
const OUTSTANDING = 8;
/** Number of writes to each room, and of rooms that are written to. */
const WRITES = 10;
const WRITE_ROOMS = 300;
const ANY_ROOMS = 2_000;
/** Rooms of one tenant; the measurement must not reach `[brain] rooms_per_tenant`. */
const TENANT_ROOMS = 10_000;
const WARM_UP_ROOMS = 200;
const WARM_UP_COMMANDS = 10_000;
const IDLE_SECONDS = 2;

const room = (index: number): RoomName => ({
  tenant_id: `bench-${Math.floor(index / TENANT_ROOMS)}`,
  room_id: `room-${index}`,
});

/** Gives every room once, to any worker. */
function each(rooms: readonly RoomName[]): NextRoom {
  let sent = 0;
  return () => rooms[sent++];
}

/** Gives each worker its own rooms in turns, so that no two commands meet in one room. */
function ownRooms(rooms: readonly RoomName[], writes: number): NextRoom {
  const turns = new Array<number>(OUTSTANDING).fill(0);
  return (worker) => {
    const mine = Math.ceil((rooms.length - worker) / OUTSTANDING);
    const turn = turns[worker]!++;
    return turn < mine * writes ? rooms[worker + OUTSTANDING * (turn % mine)] : undefined;
  };
}

const range = (from: number, to: number): RoomName[] =>
  Array.from({ length: to - from }, (_, index) => room(from + index));

/** So many of all rooms, evenly spread. */
function spread(rooms: number): RoomName[] {
  const count = Math.min(rooms, ANY_ROOMS);
  return Array.from({ length: count }, (_, index) => room(Math.floor(index * rooms / count)));
}

async function idle_us(running: Brains): Promise<number> {
  const before = await total(running, "process_cpu_seconds_total");
  await new Promise((resolve) => setTimeout(resolve, IDLE_SECONDS * 1_000));
  const after = await total(running, "process_cpu_seconds_total");
  return (after - before) * 1e6 / IDLE_SECONDS;
}

async function step(spine: Spine, running: Brains, had: number, rooms: number) {
  const load = (outstanding: number, next: NextRoom) =>
    runLoad(spine, running, { outstanding, next });
  const create = await load(CREATE_OUTSTANDING, each(range(had, rooms)));
  const newest = range(Math.max(had, rooms - WRITE_ROOMS), rooms);
  const write = await load(OUTSTANDING, ownRooms(newest, WRITES));
  const again = Math.max(1, Math.min(WRITES, Math.floor(ANY_ROOMS / rooms)));
  const write_any = await load(OUTSTANDING, ownRooms(spread(rooms), again));
  const rss_bytes = await total(running, "process_resident_memory_bytes");
  return { rooms, create, write, write_any, idle_us: await idle_us(running), rss_bytes };
}

/** Measures the steps, each with ten times as many rooms as the one before, up to `most`. */
export async function measureGrowth(most: number): Promise<GrowthStep[]> {
  await using running = await startBrains(1, "later");
  const spine = await running.openSpine();
  const warm = Array.from({ length: WARM_UP_ROOMS }, (_, index): RoomName => (
    { tenant_id: "warm-up", room_id: `room-${index}` }
  ));
  const writes = WARM_UP_COMMANDS / WARM_UP_ROOMS;
  await runLoad(spine, running, { outstanding: OUTSTANDING, next: ownRooms(warm, writes) });
  const steps: GrowthStep[] = [];
  for (let rooms = FIRST, had = 0; rooms <= most; had = rooms, rooms *= 10) {
    console.error(`rooms: ${rooms} rooms ...`);
    steps.push(await step(spine, running, had, rooms));
  }
  return steps;
}
