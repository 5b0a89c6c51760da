/** Stored modules without references are deleted; those that a chain or a rollback needs stay. */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { Registry } from "prom-client";
import { sampleOf } from "../../../shared/testing/sample_of.ts";
import { refusedWith } from "../../../shared/spine/testing/conformance.ts";
import type { Spine } from "../../../shared/spine/contract/spine.ts";
import { until } from "../../../shared/testing/until.ts";
import { keptLog, testSpine } from "../../testing/spine.ts";
import { rolledBack, withoutPolicy, withPolicy } from "../chain/chain.ts";
import { ModuleSweep } from "./module_sweep.ts";
import { openPolicyStore, type PolicyStore } from "../chain/store.ts";
import { binding, tinyModule } from "../testing/modules.ts";

const AUTHOR = { by: "ops", at_ms: 0 };
const KEPT_MS = 7_200_000;

function onStore(what: string, run: (store: PolicyStore, spine: Spine) => Promise<void>): void {
  Deno.test(what, async () => {
    await using engine = testSpine();
    await run(await openPolicyStore(engine.spine), engine.spine);
  });
}

/** A sweep with a clock that the test sets. */
function sweepOf(store: PolicyStore, kept_ms = KEPT_MS) {
  const registry = new Registry();
  const clock = { now_ms: Date.now(), ahead_ms: 0 };
  const { log, lines } = keptLog();
  const clocks = { now: () => clock.now_ms + clock.ahead_ms, monotonic_ms: () => clock.now_ms };
  const sweep = new ModuleSweep({ store, log, registry, ...clocks, random: () => 0, kept_ms });
  const metric = (series: string) => sampleOf(registry, series);
  return { sweep, clock, metric, lines };
}

const deploy = (store: PolicyStore, name: string, sha256: string) =>
  store.change("acme", (one) => withPolicy(one, binding({ name, sha256 }), AUTHOR));

onStore(
  "an old module without references is deleted, a rollback still finds its own",
  async (store) => {
    const [in_force, past, unused] = await Promise.all(
      [1, 2, 3].map((seed) => store.putModule(tinyModule(seed))),
    );
    assert.ok(in_force !== undefined && past !== undefined && unused !== undefined);
    await deploy(store, "a", in_force);
    await deploy(store, "b", past);
    await store.change("acme", (one) => withoutPolicy(one, "b", AUTHOR));
    const { sweep, clock, metric, lines } = sweepOf(store);
    assert.deepEqual(await sweep.pass(), { swept: [] }, "an upload can still be deployed");
    assert.equal(await metric('shield_policy_stored_modules{state="unnamed"}'), 1);
    assert.equal(await metric('shield_policy_stored_modules{state="named"}'), 2);
    const size_bytes = tinyModule(3).length;
    assert.equal(await metric('shield_policy_stored_module_bytes{state="unnamed"}'), size_bytes);
    clock.now_ms += KEPT_MS + 60_000;
    assert.deepEqual(await sweep.pass(), { swept: [unused] });
    assert.equal(await metric("shield_policy_modules_swept_total"), 1);
    assert.equal(await metric('shield_policy_stored_module_bytes{state="unnamed"}'), 0);
    assert.match(lines.join(""), new RegExp(`sha256=${unused} .*without references was deleted`));
    assert.equal(await store.module(unused), undefined);
    await store.change("acme", (one) => rolledBack(one, undefined, AUTHOR));
    const { document } = await store.read("acme");
    for (const { sha256 } of document.current.policies) {
      assert.ok(await store.module(sha256), "the modules that a rollback puts in force exist");
    }
    assert.equal(document.current.policies.length, 2);
  },
);

onStore("in a full store a module stays a minute without references", async (store) => {
  const [named, unused] = await Promise.all([1, 2].map((at) => store.putModule(tinyModule(at))));
  await deploy(store, "a", named!);
  const { sweep, clock } = sweepOf(store);
  await sweep.makeRoom();
  assert.ok(await store.module(unused!), "its deployment may follow");
  clock.now_ms += 61_000;
  await Promise.all([sweep.makeRoom(), sweep.makeRoom()]);
  assert.deepEqual([await store.module(unused!), await store.module(named!) !== undefined], [
    undefined,
    true,
  ]);
});

onStore("uploading an existing module restarts its age", async (store) => {
  const sha256 = await store.putModule(tinyModule(1));
  const [before] = await store.modules();
  assert.ok(before !== undefined);
  await until("a later time", async () => {
    await store.putModule(tinyModule(1));
    return (await store.modules())[0]!.modified_ms > before.modified_ms;
  });
  const { sweep, clock } = sweepOf(store);
  clock.now_ms = before.modified_ms + KEPT_MS;
  assert.deepEqual(await sweep.pass(), { swept: [] });
  assert.ok(await store.module(sha256));
});

onStore(
  "a wall clock set ahead by days sweeps no upload that may yet be deployed",
  async (store) => {
    const sha256 = await store.putModule(tinyModule(1));
    const { sweep, clock } = sweepOf(store);
    clock.now_ms += KEPT_MS / 2;
    clock.ahead_ms = 72 * 3_600_000;
    assert.deepEqual(await sweep.pass(), { swept: [] });
    clock.ahead_ms = 0;
    assert.deepEqual(await sweep.pass(), { swept: [] });
    clock.now_ms += KEPT_MS;
    assert.deepEqual(await sweep.pass(), { swept: [sha256] });
  },
);

onStore("while a document cannot be read nothing is swept", async (store, spine) => {
  const sha256 = await store.putModule(tinyModule(1));
  const bucket = await spine.keyValue("ARQON_POLICIES");
  await bucket.put(["acme"], new TextEncoder().encode("{"));
  const { sweep, clock } = sweepOf(store);
  clock.now_ms += 2 * KEPT_MS;
  await assert.rejects(sweep.pass(), refusedWith("policy-conflict"));
  assert.ok(await store.module(sha256));
});

onStore("a module that cannot be read now is not deleted", async (store) => {
  const sha256 = await store.putModule(tinyModule(1));
  const { sweep, clock } = sweepOf(store);
  clock.now_ms += 2 * KEPT_MS;
  const read = store.module.bind(store);
  store.module = () => Promise.reject(new ArqonError("spine-unavailable"));
  await assert.rejects(sweep.pass(), refusedWith("spine-unavailable"));
  store.module = read;
  assert.deepEqual(await store.module(sha256), tinyModule(1));
  assert.deepEqual(await sweep.pass(), { swept: [sha256] });
});

onStore("a deployment during the sweep has its module", async (store) => {
  const sha256 = await store.putModule(tinyModule(1));
  const deleteModule = store.deleteModule.bind(store);
  // The document is written between the check of references and the deletion.
  store.deleteModule = async (name) => {
    await deploy(store, "a", name);
    await deleteModule(name);
  };
  const { sweep, clock, metric } = sweepOf(store);
  clock.now_ms += 2 * KEPT_MS;
  assert.deepEqual(await sweep.pass(), { swept: [] });
  assert.deepEqual(await store.module(sha256), tinyModule(1));
  assert.equal(await metric("shield_policy_modules_swept_total"), 0);
});

onStore("it sweeps on its own, and not after it is closed", async (store) => {
  const sha256 = await store.putModule(tinyModule(1));
  const { sweep, clock } = sweepOf(store, 1);
  clock.now_ms += 60_000;
  sweep.start();
  await until("the sweep", async () => await store.module(sha256) === undefined);
  sweep.close();
});
