/** Deploys modules to classes of rooms, as Shields do, and modules to deploy. For tests only. */
import { createHash } from "node:crypto";
import { moduleName, REDUCER_OBJECTS } from "../../../shared/records/reducer_record.ts";
import {
  decodeDeployment,
  DEPLOYMENTS_BUCKET,
  encodeDeployment,
  notDeployed,
  type ReducerDeployment,
  withModule,
  withoutLast,
} from "../../../shared/records/reducer_deployment.ts";
import type { WorldBrain } from "./reducer_world.ts";
import { moduleOf } from "./guest_text.ts";

type Bus = Pick<WorldBrain, "spine">;

async function change(
  { spine }: Bus,
  reducer: string,
  next: (before: ReducerDeployment) => ReducerDeployment,
  tenant_id = "t",
): Promise<void> {
  const bucket = await spine.keyValue(DEPLOYMENTS_BUCKET);
  const stored = await bucket.get([tenant_id, reducer]);
  const before = stored && decodeDeployment(stored.value);
  const bytes = encodeDeployment(next(before ?? notDeployed(reducer)));
  await bucket.update([tenant_id, reducer], bytes, stored?.revision ?? 0);
}

/** Stores a module; returns its hex SHA-256. */
export async function storeModule({ spine }: Bus, module: Uint8Array): Promise<void> {
  const sha256 = createHash("sha256").update(module).digest("hex");
  await (await spine.objects(REDUCER_OBJECTS)).put(moduleName(sha256), module);
}

/** Deploys a module to the room of that name. */
export async function deploy(
  bus: Bus,
  reducer: string,
  module: Uint8Array,
  tenant_id?: string,
): Promise<void> {
  const sha256 = createHash("sha256").update(module).digest("hex");
  await change(
    bus,
    reducer,
    (before) => withModule(before, { module: sha256, at_ms: 1, by: "me" }),
    tenant_id,
  );
}

/** Rolls back the last deploy. */
export const rollBack = (bus: Bus, reducer: string): Promise<void> =>
  change(bus, reducer, (before) => withoutLast(before, { at_ms: 2, by: "me" })!);

const READ = (at: number, size: number) =>
  `(local $v i32) (local.set $v (call $room_read (i32.const ${at}) (i32.const ${size})))
  (if (i32.eqz (local.get $v))
    (then (call $room_reject (i32.const 409) (i32.const ${at}) (i32.const ${size}))))`;
const VALUE = `(i32.add (local.get $v) (i32.const 4)) (i32.load (local.get $v))`;

/**
 * The next version of the examples' counter: it answers the value under "sum", which its migration takes from "total";
 * without one it rejects the room.
 */
export const SUM = moduleOf({
  apply: `${READ(5, 3)} (call $room_answer ${VALUE}) (i32.const 0)`,
  more: `(data (i32.const 0) "totalsummoved")
    (func (export "arqon_migrate") (result i32) ${READ(0, 5)}
      (call $room_write (i32.const 5) (i32.const 3) ${VALUE})
      (call $room_delete (i32.const 0) (i32.const 5))
      (call $room_emit (i32.const 8) (i32.const 5) ${VALUE} (i32.const 0) (i32.const 0))
      (i32.const 0))`,
});
