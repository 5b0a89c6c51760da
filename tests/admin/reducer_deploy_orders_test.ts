/**
 * A module is deployed while it is being removed, and the deploying Shield dies: each is paused at each of its reads
 * and writes while the other continues. The modules of a class are stored at any time, and the same deploy succeeds
 * afterwards.
 */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { Gate } from "../../brain/reducers/testing/gate.ts";
import { ENGINES } from "../../brain/reducers/testing/reducer_world.ts";
import { HOUR_MS, Remover } from "../../brain/reducers/testing/remover.ts";
import { variantOf } from "../../brain/reducers/testing/variants.ts";
import { SETTLE_MS } from "../../brain/reducers/removal/module_removal.ts";
import { configFrom } from "../../shared/config/load.ts";
import { decodeDeployment, DEPLOYMENTS_BUCKET } from "../../shared/records/reducer_deployment.ts";
import { moduleName, REDUCER_OBJECTS } from "../../shared/records/reducer_record.ts";
import { sha256Hex } from "../../shared/sha256.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import type { AdminCall, ServedRoute } from "../../shield/admin/routing/admin_routes.ts";
import { REDUCER_ROUTES, type ReducerAdminContext } from "../../shield/reducers/api.ts";
import { testLog } from "../../shared/testing/logs.ts";
import { builtReducer } from "../../shared/testing/reducers.ts";

const counter = builtReducer("counter");
const { reducers } = configFrom({ reducers: [{ name: "counter", file: "counter" }] });
const CLASS = { tenant: "*", pattern: "counter-*", reducer: "counter" };

/** The dependencies of a deploying Shield, on a bus that it reaches through a gate. */
function contextOf(spine: Spine, gate: Gate): ReducerAdminContext {
  const classes = { explain: () => [CLASS], list: () => [CLASS] };
  return {
    classes: classes as unknown as ReducerAdminContext["classes"],
    spine: {
      keyValue: async (...args) => gate.through(await spine.keyValue(...args)),
      objects: async (name) => gate.through(await spine.objects(name)),
    },
    reducers,
    limits: { reducer_modules: 200 },
    now: () => 1,
    node_id: "s",
    check: () => Promise.resolve(),
    requireBudget: () => Promise.resolve(),
    log: testLog(),
  };
}

async function deploy(spine: Spine, gate: Gate, module: Uint8Array): Promise<void> {
  const routes: ServedRoute[] = [...REDUCER_ROUTES.serve(contextOf(spine, gate))];
  const route = routes.find(({ method }) => method === "PUT");
  assert.ok(route !== undefined && route.scope !== "tenant-in-body");
  const url = "http://127.0.0.1/v1/tenants/t/reducers/counter-*";
  const headers = { "content-type": "application/wasm" };
  const call = {
    request: new Request(url, { method: "PUT", body: new Uint8Array(module), headers }),
    url: new URL(url),
    names: { class: "counter-*" },
    tenant: "t",
    by: "root",
    checks: { run: (_: string, check: () => Promise<unknown>) => check() },
  };
  await route.handle(call as unknown as AdminCall);
}

/** The deployed module of the class, which is stored; "": none was deployed. */
async function inForce(spine: Spine): Promise<string> {
  const stored = await (await spine.keyValue(DEPLOYMENTS_BUCKET)).get(["t", "counter-*"]);
  if (stored === undefined) return "";
  const { current, before, number } = decodeDeployment(stored.value)!;
  for (const { module } of [current, ...before].filter((one) => one.module !== "")) {
    const bytes = await (await spine.objects(REDUCER_OBJECTS)).get(moduleName(module));
    assert.ok(bytes !== undefined, `deploy ${number} names a module that is not stored`);
  }
  return current.module;
}

/**
 * Runs both, paused at their operations of these numbers; the Shield continues, or not. Returns whether there were such
 * operations.
 */
async function inOrder(spine: Spine, removes: number, deploys: number, dies: boolean) {
  const bytes = variantOf(counter, 7);
  const module = await sha256Hex(bytes);
  await (await spine.objects(REDUCER_OBJECTS)).put(moduleName(module), bytes);
  const removing = new Gate(removes);
  const deploying = new Gate(deploys);
  const remover = await Remover.open({ spine }, [], (options) => ({
    ...options,
    records: removing.through(options.records),
    deployments: removing.through(options.deployments),
    objects: removing.through(options.objects),
  }));
  const removed = (async () => {
    for (const ms of [HOUR_MS, HOUR_MS, SETTLE_MS]) await remover.after(ms);
  })();
  await Promise.race([removing.reached, removed]);
  const deployed = deploy(spine, deploying, bytes).then(() => true, (error) => {
    assert.ok(error instanceof ArqonError && /being removed/.test(error.message), error);
    return false;
  });
  await Promise.race([deploying.reached, deployed]);
  removing.open();
  await removed;
  if (!dies) deploying.open();
  if (!dies || !deploying.is_reached) {
    const is_deployed = await deployed;
    assert.equal(await inForce(spine), is_deployed ? module : "");
  }
  await inForce(spine);
  await deploy(spine, new Gate(-1), bytes);
  assert.equal(await inForce(spine), module);
  await (await spine.keyValue(DEPLOYMENTS_BUCKET)).delete(["t", "counter-*"]);
  return { removes: removing.is_reached, deploys: deploying.is_reached };
}

for (const dies of [false, true]) {
  Deno.test(`a module is deployed while it is being removed${dies ? ", by a Shield that dies" : ""}`, async () => {
    await using world = await ENGINES["embedded"]!({ modules: { counter } });
    const { spine } = await world.start("a");
    let orders = 0, removes = 0;
    for (let more = true; more; removes++) {
      more = false;
      for (let deploys = 0, was = { removes: false, deploys: true }; was.deploys; deploys++) {
        was = await inOrder(spine, removes, deploys, dies);
        more ||= was.removes;
        orders++;
      }
    }
    assert.ok(removes > 8 && orders > 60, `${removes} operations, ${orders} orders`);
  });
}
