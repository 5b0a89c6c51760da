/**
 * Measures commands per second on one room and on many, with one Brain and with three, in turns with the
 * limit of the bucket alone: bare compare-and-set of values as large as the rooms' documents. Both clusters
 * run side by side, each on a NATS of its own; only one is under load at a time.
 */
import { ArqonError } from "@arqon/proto";
import type { KeyValue, Spine } from "../../shared/spine/contract/spine.ts";
import { commandSubject } from "../../shared/subjects/subject.ts";
import {
  accepted,
  type Brains,
  commandBytes,
  PATIENCE_MS,
  startBrains,
} from "../measure/brains.ts";
import type { Syncing } from "../measure/brains.ts";
import { sumOf } from "../measure/statistics.ts";
import {
  keepBusyFor,
  lasting,
  type NextRoom,
  type Pace,
  runLoad,
  type Spent,
} from "./rooms_load.ts";

/** The plan of the measurement. */
export interface PacePlan {
  readonly rounds: number;
  readonly seconds: number;
  readonly rooms: number;
  /** Commands that are under way at a time. */
  readonly outstanding: number;
}

/** The result of one round of one row. */
export interface PaceRound extends Pace {
  readonly row: string;
  /** The resources of the Brains; absent for the bucket alone. */
  readonly spent: Spent | undefined;
}

/** The results of all rounds. */
export interface PaceReport {
  readonly rounds: readonly PaceRound[];
  /** Size of a stored document at the end. */
  readonly document_bytes: number;
  /**
   * For the room that all Brains wrote at once: number of accepted writes, and how many versions it has had.
   */
  readonly contended: { readonly accepted: number; readonly version: number };
}

/** Seconds before the first round, in which compilers and caches get warm and the rooms are made. */
const WARM_UP_SECONDS = 1;
const TENANT = "bench";
const AT_ONCE = "one room, 3 Brains at once";
/** Prefix of that room's name. */
const CONTENDED = "contended";

interface Cluster {
  readonly running: Brains;
  readonly spine: Spine;
}

interface Row {
  readonly name: string;
  run(seconds: number): Promise<PaceRound>;
}

function inTurns(prefix: string, rooms: number): NextRoom {
  let sent = 0;
  return () => ({ tenant_id: TENANT, room_id: `${prefix}-${sent++ % rooms}` });
}

function roomRow(
  name: string,
  { running, spine }: Cluster,
  rooms: number,
  outstanding: number,
  past_owners = false,
): Row {
  // A room that several Brains have written leaves each of them with an old document.
  const next = inTurns(past_owners ? CONTENDED : "room", rooms);
  return {
    name,
    run: async (seconds) => {
      const load = { outstanding, past_owners, next: lasting(seconds, next) };
      const { cpu_us, conflicts, retries, ...pace } = await runLoad(spine, running, load);
      return { row: name, ...pace, spent: { cpu_us, conflicts, retries } };
    },
  };
}

/** Measures the bucket alone. Each worker has its own keys, so that no write loses a race. */
function bareRow(
  name: string,
  bucket: KeyValue,
  keys: number,
  outstanding: number,
  valueOf: () => Uint8Array,
): Row {
  const revisions = new Map<number, number>();
  const turns = new Array<number>(outstanding).fill(0);
  const write = async (worker: number, value: Uint8Array) => {
    const mine = Math.max(1, Math.floor(keys / outstanding));
    const key = worker + outstanding * (turns[worker]!++ % mine);
    const revision = await bucket.update([TENANT, `key-${key}`], value, revisions.get(key) ?? 0);
    revisions.set(key, revision);
  };
  return {
    name,
    run: async (seconds) => {
      const value = valueOf();
      const pace = await keepBusyFor(seconds, outstanding, (worker) => write(worker, value));
      return { row: name, ...pace, spent: undefined };
    },
  };
}

/** Mean size in bytes of some of the rooms' stored documents. */
async function documentBytes({ spine }: Cluster, rooms: number): Promise<number> {
  const bucket = await spine.keyValue("ARQON_ROOMS");
  let bytes = 0;
  const looked = Math.min(rooms, 20);
  for (let index = 0; index < looked; index++) {
    const entry = await bucket.get([TENANT, `room-${index}`]);
    if (entry === undefined) throw new ArqonError("internal", `room-${index} is not stored`);
    bytes += entry.value.length;
  }
  return Math.round(bytes / looked);
}

async function versionOf({ spine }: Cluster, room_id: string): Promise<number> {
  const payload = commandBytes(TENANT, room_id, { name: "room.get" });
  const subject = commandSubject(TENANT, room_id);
  const reply = await spine.request(subject, payload, { timeout_ms: PATIENCE_MS });
  return JSON.parse(new TextDecoder().decode(accepted(reply.payload).result)).version;
}

/** Makes a room, and gives its version, which begins with the time. */
async function begin({ spine, running }: Cluster, room_id: string): Promise<number> {
  const rooms = [{ tenant_id: TENANT, room_id }];
  await runLoad(spine, running, { outstanding: 1, next: () => rooms.pop() });
  return await versionOf({ spine, running }, room_id);
}

async function rowsOf(alone: Cluster, three: Cluster, plan: PacePlan): Promise<Row[]> {
  const { rooms, outstanding } = plan;
  const bucket = await alone.spine.keyValue("BENCH");
  const single = await alone.spine.keyValue("BENCH_ONE");
  // As large as the documents after the round before, which is the first row's.
  let value = new Uint8Array();
  const valueOf = () => value;
  const many = roomRow(`${rooms} rooms, 1 Brain`, alone, rooms, outstanding);
  return [
    {
      ...many,
      run: async (seconds) => {
        const round = await many.run(seconds);
        value = new Uint8Array(await documentBytes(alone, rooms));
        return round;
      },
    },
    roomRow(`${rooms} rooms, 3 Brains`, three, rooms, outstanding),
    bareRow(`bare compare-and-set, ${rooms} keys`, bucket, rooms, outstanding, valueOf),
    roomRow("one room, 1 Brain", alone, 1, outstanding),
    roomRow("one room, 3 Brains", three, 1, outstanding),
    roomRow(AT_ONCE, three, 1, outstanding, true),
    bareRow("bare compare-and-set, one key", single, 1, 1, valueOf),
  ];
}

async function startCluster(
  count: number,
  syncing: Syncing,
  owned: AsyncDisposableStack,
): Promise<Cluster> {
  const running = owned.use(await startBrains(count, syncing));
  return { running, spine: await running.openSpine() };
}

/** Measures every row, `rounds` times in turns. */
export async function measurePace(plan: PacePlan, syncing: Syncing): Promise<PaceReport> {
  await using owned = new AsyncDisposableStack();
  const alone = await startCluster(1, syncing, owned);
  const three = await startCluster(3, syncing, owned);
  const rows = await rowsOf(alone, three, plan);
  const begun = await begin(three, `${CONTENDED}-0`);
  const warm_up: PaceRound[] = [];
  for (const row of rows) warm_up.push(await row.run(WARM_UP_SECONDS));
  const rounds: PaceRound[] = [];
  for (let round = 1; round <= plan.rounds; round++) {
    console.error(`rooms: sync ${syncing}, round ${round} of ${plan.rounds} ...`);
    for (const row of rows) rounds.push(await row.run(plan.seconds));
  }
  const at_once = [...warm_up, ...rounds].filter(({ row }) => row === AT_ONCE);
  const contended = {
    accepted: sumOf(at_once, "commands"),
    version: await versionOf(three, `${CONTENDED}-0`) - begun,
  };
  return { rounds, document_bytes: await documentBytes(alone, plan.rooms), contended };
}
