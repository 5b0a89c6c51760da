/**
 * The part of a Brain that runs rooms with reducers, alone in this process: it owns every room, and the reducer is
 * `counter`. It has no Shield and no other Brain beside it.
 */
import { ArqonError } from "@arqon/proto";
import type { ClusterView } from "../../brain/cluster_view.ts";
import type { ReducerService } from "../../brain/reducers/no_reducers.ts";
import { startReducers } from "../../brain/reducers/service.ts";
import { configFrom } from "../../shared/config/load.ts";
import { createMetrics } from "../../shared/metrics/metrics.ts";
import type { Registry } from "../../shared/metrics/metrics.ts";
import type { PastAsk } from "../../shared/records/reducer_past.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { errorLog } from "../measure/brains.ts";

/** The tenant of all rooms. */
export const TENANT = "t";
const CALL_MS = 60_000;
const WASM = new URL("../../policies/build/reducers/counter.wasm", import.meta.url);
const BRAIN_ID = "bench";
/** The view of a Brain that is alone. */
const ALONE = {
  ...{ brain_id: BRAIN_ID, brains: [BRAIN_ID], serving: true },
  ownerOf: () => BRAIN_ID,
  onOwnership: () => () => {},
};

/** Rooms `counter` and `counter-…`. */
export interface CounterRooms extends AsyncDisposable {
  readonly registry: Registry;
  /** Adds 1, with an id as SDKs give one. Rejects when it is refused. */
  add(room_id: string): Promise<void>;
  /** What an admin asks about a room's past, as JSON. */
  past(room_id: string, ask: PastAsk): Promise<string>;
}

function add(service: ReducerService, room_id: string): Promise<void> {
  const data = new TextEncoder().encode("1");
  return new Promise((resolve, reject) =>
    service.call({ tenant_id: TENANT, room_id }, {
      ...{ command: "add", data, id: crypto.randomUUID(), user_id: "ann", role: "user" },
      ...{ claims: {}, deadline_ms: performance.now() + CALL_MS },
      answer: (outcome) => outcome instanceof ArqonError ? reject(outcome) : resolve(),
    })
  );
}

/** Starts the part on a Spine, which is drained with it. */
export async function startCounters(
  spine: Spine,
  brain: Readonly<Record<string, unknown>> = {},
  reducer: Readonly<Record<string, unknown>> = {},
): Promise<CounterRooms> {
  const wasm = await Deno.readFile(WASM);
  const class_of = (room: string) => ({ room, durable: true, reducer: "counter" });
  const config = configFrom({
    reducers: [{ name: "counter", file: "counter", ...reducer }],
    rooms: [class_of("counter"), class_of("counter-*")],
    // What is measured is the room, not its tenant's share.
    brain: { reducer_fuel_per_second: 1_000_000_000, ...brain },
  });
  const registry = createMetrics({ node_id: BRAIN_ID, version: "0" });
  const service = await startReducers({
    ...{ config, spine, registry, log: errorLog("bench") },
    view: ALONE as unknown as ClusterView,
    ...{ now: Date.now, monotonic_ms: () => performance.now(), readFile: () => wasm },
  });
  return {
    registry,
    add: (room_id) => add(service, room_id),
    past: (room_id, ask) => service.past({ tenant_id: TENANT, room_id }, ask),
    async [Symbol.asyncDispose]() {
      await service.drain();
      await spine.drain();
    },
  };
}
