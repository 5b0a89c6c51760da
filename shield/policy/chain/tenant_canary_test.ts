/** A canary beside the policies in force: its shares, a refused module, manual changes. */
import assert from "node:assert/strict";
import { rolloutOf } from "../../../shared/rollout/testing/rollouts.ts";
import { until } from "../../../shared/testing/until.ts";
import { BAD_MODULE, binding, tinyModule } from "../testing/modules.ts";
import { DEADLINE_MS, deployTiny, onRegistry, tinyName } from "../testing/registry.ts";
import type { TestRegistry } from "../testing/registry.ts";
import type { Canary } from "./canary.ts";

const ID = "0123456789abcdef0123456789abcdef";
const running = ({ registry }: TestRegistry) =>
  registry.chainFor("acme", "on_message", "r", "key")
    .map(({ name, sha256 }) => `${name} ${sha256.slice(0, 6)}`);

const canaryOf = (sha256: string, more: Partial<Canary> = {}): Canary => ({
  id: ID,
  stage: 0,
  share: 0,
  base_version: 1,
  policies: [binding({ sha256 })],
  ...more,
});

/** The registry, with module 1 in force. */
async function withFirst(one: TestRegistry) {
  await one.registry.reached("acme", await deployTiny(one, "acme", 1), DEADLINE_MS);
  return one.registry;
}

onRegistry("a canary grows and ends, and messages meet both versions meanwhile", async (one) => {
  const registry = await withFirst(one);
  const sha256 = await registry.store.putModule(tinyModule(2));
  const old = (await tinyName(1)).slice(0, 6);
  const now = sha256.slice(0, 6);
  registry.setCanary("acme", canaryOf(sha256));
  await until("it runs", () => registry.canaryOf("acme") !== undefined);
  assert.deepEqual(running(one), [`p~new ${now}`, `p ${old}`]);
  registry.setCanary("acme", canaryOf(sha256, { stage: 1, share: 1 }));
  await until("the share grows", () => registry.canaryOf("acme")?.stage === 1);
  assert.deepEqual(running(one), [`p~old ${old}`, `p ${now}`]);
  assert.equal(registry.status().modules, 2);
  registry.setCanary("acme", undefined);
  await until("it has ended", () => registry.canaryOf("acme") === undefined);
  assert.deepEqual(running(one), [`p ${old}`]);
});

onRegistry("a tenant without policies can have a canary", async (one) => {
  const { registry } = one;
  const sha256 = await registry.store.putModule(tinyModule(2));
  registry.setCanary("acme", canaryOf(sha256, { base_version: 0 }));
  await until("it runs", () => registry.canaryOf("acme") !== undefined);
  assert.deepEqual(running(one), [`p~new ${sha256.slice(0, 6)}`]);
  registry.setCanary("acme", undefined);
  await until("it has ended", () => registry.canaryOf("acme") === undefined);
  assert.deepEqual(running(one), []);
});

onRegistry(
  "a refused module leaves the old policies in force, and the state reports it",
  async (one) => {
    const registry = await withFirst(one);
    const before = running(one);
    registry.setCanary("acme", canaryOf(await registry.store.putModule(BAD_MODULE)));
    await until("the state reports it", () => registry.canaryOf("acme")?.problem !== undefined);
    const { kind, detail } = registry.canaryOf("acme")!.problem!;
    assert.deepEqual([kind, /not a WebAssembly module/.test(detail)], ["refused", true]);
    assert.deepEqual(running(one), before);
    assert.equal(registry.tenant("acme")?.state, "active");
  },
);

onRegistry("a missing module is fetched again", async (one) => {
  const registry = await withFirst(one);
  const sha256 = await tinyName(3);
  registry.setCanary("acme", canaryOf(sha256));
  await until("it waits", () => registry.canaryOf("acme")?.problem?.kind === "retry");
  await registry.store.putModule(tinyModule(3));
  const runs = () =>
    registry.canaryOf("acme") !== undefined &&
    registry.canaryOf("acme")?.problem === undefined;
  await until("it runs", runs);
  assert.equal(running(one).length, 2);
});

onRegistry("a manual change is in force at once, and the canary ends", async (one) => {
  const registry = await withFirst(one);
  const sha256 = await registry.store.putModule(tinyModule(2));
  registry.setCanary("acme", canaryOf(sha256, { share: 1 }));
  await until("it runs", () => registry.canaryOf("acme") !== undefined);
  await registry.reached("acme", await deployTiny(one, "acme", 3), DEADLINE_MS);
  assert.deepEqual(running(one), [`p ${(await tinyName(3)).slice(0, 6)}`]);
  const { kind, detail } = registry.canaryOf("acme")!.problem!;
  assert.equal(kind, "superseded");
  assert.match(detail, /version 2, "deploy p" by "ops"/);
});

onRegistry(
  "the modules of a running rollout count as named, so no sweep deletes them",
  async (one, spine) => {
    const bucket = await spine.keyValue("ARQON_ROLLOUTS");
    const sha256 = await tinyName(5);
    const rollout = { ...rolloutOf(), policies: [binding({ sha256 })] };
    const store = async (state: string) =>
      await bucket.put(["acme"], new TextEncoder().encode(JSON.stringify({ ...rollout, state })));
    await store("running");
    assert.ok((await one.registry.store.named()).has(sha256));
    await store("returned");
    assert.ok(!(await one.registry.store.named()).has(sha256));
  },
);
