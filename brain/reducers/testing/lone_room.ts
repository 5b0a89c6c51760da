/** A room with a reducer without a Brain: the test chooses its stores. For tests only. */
import { ArqonError } from "@arqon/proto";
import { randomPool } from "../../../shared/ids.ts";
import { atEnd } from "../../../shared/testing/at_end.ts";
import { QUIET } from "../../../shared/testing/logs.ts";
import { createMetrics } from "../../../shared/metrics/metrics.ts";
import { createBreakers } from "../../../shared/rates/breaker.ts";
import { REDUCER_OBJECTS, REDUCERS_BUCKET } from "../../../shared/records/reducer_record.ts";
import { reducerRoomOf } from "../../../shared/rooms/reserved.ts";
import { KeptPrograms, loadProgram, type RunnableProgram } from "../log/program.ts";
import { createReducerMetrics } from "../metrics.ts";
import { CutOffRooms, type ReducedPlace, type RoomParts } from "../room/loaded_room.ts";
import { BREAKER } from "../room/faults.ts";
import type { HistoryLimits } from "../room/stored_data.ts";
import { TimerTrials } from "../room/left_timers.ts";
import { ReducedRoom } from "../room/reduced_room.ts";
import { TenantFuel } from "../tenant_fuel.ts";
import type { ReducerHost } from "../thread/host.ts";
import { type Shown, shownBy } from "../visible/shown.ts";
import type { WorldBrain } from "./reducer_world.ts";

const RETENTION = { history_size: 10_000, history_ttl_seconds: 604_800, replicas: undefined };

/** A room of the tenant of all tests. */
export const placeOf = (room_id: string): ReducedPlace => ({
  tenant_id: "t",
  room_id,
  log_room_id: reducerRoomOf(room_id)!,
});

/** The parts of such a room, on the bus of a Brain. */
export async function partsOf(
  { spine }: Pick<WorldBrain, "spine">,
  host: ReducerHost,
): Promise<RoomParts> {
  const objects = await spine.objects(REDUCER_OBJECTS);
  const records = await spine.keyValue(REDUCERS_BUCKET);
  const none = () => 0;
  const kept = new KeptPrograms({ records, objects });
  const breakers = createBreakers(BREAKER);
  return {
    records,
    objects,
    host,
    now: Date.now,
    log: QUIET,
    openLog: (tenant_id) => spine.log(tenant_id, RETENTION),
    programById: (id) => loadProgram(objects, id),
    keepProgram: (program) => kept.keep(program),
    metrics: createReducerMetrics(createMetrics({ node_id: "lone", version: "0" }), {
      rooms: none,
      bytes: none,
      waiting: none,
      asked: none,
      slow_tenants: none,
      breakers,
      cut_off: none,
    }),
    fuel: new TenantFuel({
      per_second: () => 1e12,
      monotonic_ms: () => performance.now(),
      used: { inc: none },
    }),
    used: none,
    breakers,
    cut_off: new CutOffRooms(breakers),
    lines: () => {},
    random: randomPool((bytes) => crypto.getRandomValues(bytes)),
  };
}

/** A call, and the program that is to answer it. */
export interface LoneCall {
  readonly program: RunnableProgram;
  readonly migrates?: boolean;
  readonly command: string;
  readonly data: string;
  readonly id: string;
  /** By default, a room has a snapshot after each entry. */
  readonly history: HistoryLimits & { readonly snapshot_entries?: number };
  readonly shown?: Shown;
}

/** Answers one call, then closes the room. Rejects with the refusal. */
export async function callAt(
  at: ReducedPlace,
  parts: RoomParts,
  { program, migrates = false, history, shown = shownBy([]), ...asked }: LoneCall,
): Promise<string> {
  const wanted = { program, migrates, deploy: 1 };
  const room = new ReducedRoom(at, { snapshot_entries: 1, log_bytes: Infinity, ...history }, {
    parts,
    wanted: () => wanted,
    wantedNow: () => Promise.resolve(wanted),
    owns: () => true,
    pending_commands: 100,
    command_timeout_ms: 60_000,
    idle_ms: 3_600_000,
    shown: () => shown,
    monotonic_ms: () => performance.now(),
    left: { life: "lone", left_ms: 60_000, trials: new TimerTrials(), classOf: () => "" },
  });
  await using _end = atEnd(() => room.close());
  return await new Promise((resolve, reject) =>
    room.call({
      ...asked,
      data: new TextEncoder().encode(asked.data),
      user_id: "ann",
      role: "user",
      claims: {},
      deadline_ms: performance.now() + 60_000,
      answer: (outcome) => outcome instanceof ArqonError ? reject(outcome) : resolve(outcome),
    })
  );
}
