/**
 * A closed-loop load for rooms: so many commands are under way at a time, and each worker sends its next one
 * when the last is answered. Tells how fast that was, and what the Brains spent on it.
 */
import { SUBJECT_HEADER } from "../../brain/rooms/desk/forward.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { commandSubject, processSubject } from "../../shared/subjects/subject.ts";
import { accepted, type Brains, commandBytes, PATIENCE_MS, total } from "../measure/brains.ts";
import { delaysOf } from "../measure/statistics.ts";

/** The room for a worker's next command; undefined when the worker is done. */
export type NextRoom = (worker: number) => RoomName | undefined;

/** A room of the load. */
export interface RoomName {
  readonly tenant_id: string;
  readonly room_id: string;
}

/** The description of one load. */
export interface RoomLoad {
  /** Commands that are under way at a time. */
  readonly outstanding: number;
  readonly next: NextRoom;
  /** Sends each command directly to a Brain, in turns, whichever Brain owns the room. */
  readonly past_owners?: boolean;
}

/** The pace of a load. */
export interface Pace {
  readonly commands: number;
  readonly commands_per_s: number;
  readonly p50_ms: number;
  readonly p99_ms: number;
}

/** The resources that all Brains together have spent on a load. */
export interface Spent {
  /** CPU time of all Brains' processes for each command. */
  readonly cpu_us: number;
  readonly conflicts: number;
  readonly retries: number;
}

/** Keys of a room that its commands write in turns. */
const KEYS = 10;

/** Runs `once` again and again, so many at a time; `once` resolves with false when there is nothing left. */
export async function keepBusy(
  outstanding: number,
  once: (worker: number) => Promise<boolean>,
): Promise<Pace> {
  const latencies: number[] = [];
  const began_ms = performance.now();
  const work = async (worker: number) => {
    for (;;) {
      const sent_ms = performance.now();
      if (!await once(worker)) return;
      latencies.push(performance.now() - sent_ms);
    }
  };
  await Promise.all(Array.from({ length: outstanding }, (_, worker) => work(worker)));
  const commands_per_s = latencies.length * 1_000 / (performance.now() - began_ms);
  return { commands: latencies.length, commands_per_s, ...delaysOf(latencies) };
}

/** The same for so many seconds. */
export function keepBusyFor(
  seconds: number,
  outstanding: number,
  once: (worker: number) => Promise<void>,
): Promise<Pace> {
  const end_ms = performance.now() + seconds * 1_000;
  return keepBusy(outstanding, async (worker) => {
    if (performance.now() >= end_ms) return false;
    await once(worker);
    return true;
  });
}

/** A function that sends one `room.set` and rejects when it is refused. */
function sender(spine: Spine, { brains }: Brains, past_owners: boolean) {
  let sent = 0;
  return async ({ tenant_id, room_id }: RoomName): Promise<void> => {
    const index = sent++;
    const payload = commandBytes(tenant_id, room_id, {
      name: "room.set",
      data: { key: `key-${index % KEYS}`, value: index },
    });
    const room = commandSubject(tenant_id, room_id);
    const brain = past_owners ? brains[index % brains.length] : undefined;
    const reply = brain === undefined
      ? await spine.request(room, payload, { timeout_ms: PATIENCE_MS })
      : await spine.request(processSubject("commands", brain.brain_id), payload, {
        timeout_ms: PATIENCE_MS,
        headers: { [SUBJECT_HEADER]: room },
      });
    accepted(reply.payload);
  };
}

async function count(running: Brains) {
  const [cpu_s = 0, conflicts = 0, retries = 0] = await Promise.all([
    total(running, "process_cpu_seconds_total"),
    total(running, "brain_command_conflicts_total"),
    total(running, "brain_command_retries_total"),
  ]);
  return { cpu_s, conflicts, retries };
}

/** Runs one load to its end. */
export async function runLoad(
  spine: Spine,
  running: Brains,
  { outstanding, next, past_owners = false }: RoomLoad,
): Promise<Pace & Spent> {
  const send = sender(spine, running, past_owners);
  const first = await count(running);
  const before = await count(running);
  // The request for the CPU time takes CPU time itself, and one such request falls into the counted time.
  const asking_s = before.cpu_s - first.cpu_s;
  const pace = await keepBusy(outstanding, async (worker) => {
    const room = next(worker);
    if (room === undefined) return false;
    await send(room);
    return true;
  });
  const after = await count(running);
  return {
    ...pace,
    cpu_us: (after.cpu_s - before.cpu_s - asking_s) * 1e6 / pace.commands,
    conflicts: after.conflicts - before.conflicts,
    retries: after.retries - before.retries,
  };
}

/** Gives the rooms of `next` for so many seconds. */
export function lasting(seconds: number, next: NextRoom): NextRoom {
  const end_ms = performance.now() + seconds * 1_000;
  return (worker) => performance.now() < end_ms ? next(worker) : undefined;
}
