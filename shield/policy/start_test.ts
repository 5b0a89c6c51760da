/** The start of a process's Overseer: real metering, real trial compilations, and their stored verdicts. */
import assert from "node:assert/strict";
import { parseConfig } from "../../shared/config/load.ts";
import { createMetrics, exposition } from "../../shared/metrics/metrics.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { refusedWith } from "../../shared/spine/testing/conformance.ts";
import { until } from "../../shared/testing/until.ts";
import { keptLog, testSpine } from "../testing/spine.ts";
import { withPolicy } from "./chain/chain.ts";
import type { Caller } from "../message/caller.ts";
import { startOverseer } from "./start.ts";
import { openPolicyStore } from "./chain/store.ts";
import { binary, guestText } from "./testing/guests.ts";
import { binding } from "./testing/modules.ts";

async function started(spine: Spine) {
  const { log, lines } = keptLog();
  const registry = createMetrics({ node_id: "test", version: "0" });
  const overseer = await startOverseer({
    config: parseConfig("[policy]\nworkers = 1\nstall_ms = 60_000\n", { file: "test" }),
    spine,
    log,
    registry,
    now: Date.now,
    monotonic_ms: () => performance.now(),
    random: (size_bytes) => crypto.getRandomValues(new Uint8Array(size_bytes)),
    cores: 1,
    candidates: { record() {} } as never,
    onFatal: (detail) => assert.fail(detail),
    tried_wait_ms: 0,
  });
  return { ...overseer, lines, registry, [Symbol.asyncDispose]: () => overseer.close() };
}

function caller(tenant_id: string): Caller {
  return {
    identity: { tenant_id, user_id: "u", claims: {} } as unknown as Caller["identity"],
    connection_id: "c1",
    request_headers: [],
    remote_ip: "127.0.0.1",
  };
}

/** Stores policies as if they had been deployed long ago under another engine: they have no stored verdicts. */
async function deployed(spine: Spine, tenant: string, count: number): Promise<void> {
  const store = await openPolicyStore(spine);
  for (let at = 0; at < count; at++) {
    const more = `(data (i32.const 0) "${tenant} ${at}")`;
    const text = guestText({ hook: "on_connect", body: "i32.const 0", more });
    const sha256 = await store.putModule(binary(text));
    const one = binding({ name: `p${at}`, sha256, hooks: ["on_connect"] });
    await store.change(tenant, (document) => withPolicy(document, one, { by: "ops", at_ms: 0 }));
  }
}

Deno.test("a node is ready while modules are tried; only their tenant is refused until they pass", async () => {
  await using engine = testSpine();
  await deployed(engine.spine, "slow", 8);
  {
    await using node = await started(engine.spine);
    assert.equal(node.checks()["policies"]?.ok, true);
    assert.match(node.checks()["policies"]!.detail, /1 refused until 8 modules more are ready/);
    const { pending_modules, pending_tenants } = node.status();
    assert.deepEqual([pending_modules, pending_tenants], [8, 1]);
    const other = node.overseer.onConnect(caller("other"));
    assert.equal(other, undefined, "a start without policies does not wait");
    const slow = () => node.overseer.onConnect(caller("slow"));
    assert.throws(slow, refusedWith("policy-loading"));
    await until("the trials", () => node.status()["pending_modules"] === 0);
    await node.overseer.onConnect(caller("slow"));
    const { body } = await exposition(node.registry);
    assert.match(body, /^shield_policy_compile_seconds_count 8$/m);
    assert.match(body, /^shield_policy_compiled_modules 8$/m);
  }
  const bucket = await engine.spine.keyValue("ARQON_POLICY_VERDICTS");
  assert.equal((await bucket.keys()).length, 8);
});

Deno.test("a module in quarantine is refused across restarts until its release, and the rest of its chain runs", async () => {
  await using engine = testSpine();
  await deployed(engine.spine, "acme", 2);
  const store = await openPolicyStore(engine.spine);
  const { document: { current: { policies } } } = await store.read("acme");
  const [bad, good] = policies.map(({ sha256 }) => sha256);
  const bucket = await engine.spine.keyValue("ARQON_POLICY_QUARANTINE");
  const entry = { format: 1, sha256: bad, why: "wedge", at_ms: 1, node: "a" };
  await bucket.put([bad!], new TextEncoder().encode(JSON.stringify(entry)));
  await using node = await started(engine.spine);
  await until("the trials", () => node.status()["pending_modules"] === 0);
  assert.deepEqual([node.status()["quarantined"], node.status()["modules"]], [[bad], [good]]);
  const connecting = async () => await node.overseer.onConnect(caller("acme"));
  await assert.rejects(connecting, refusedWith("policy-fault"));
  await bucket.delete([bad!]);
  await until("the released module", () => (node.status()["modules"] as string[]).length === 2);
  await node.overseer.onConnect(caller("acme"));
  assert.deepEqual(node.status()["quarantined"], []);
});
