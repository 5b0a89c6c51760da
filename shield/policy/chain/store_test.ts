/** Stored documents and modules: compare-and-set, damage, repair. */
import assert from "node:assert/strict";
import { refusedWith } from "../../../shared/spine/testing/conformance.ts";
import type { Spine } from "../../../shared/spine/contract/spine.ts";
import { testSpine } from "../../testing/spine.ts";
import { documentBytes, withoutPolicy, withPolicy } from "./chain.ts";
import { openPolicyStore, type PolicyStore } from "./store.ts";
import { sha256Hex } from "../../../shared/sha256.ts";
import { binding, tinyModule } from "../testing/modules.ts";

const author = { by: "ops", at_ms: 1_767_323_045_000 };
const bytes = (text: string) => new TextEncoder().encode(text);

function onStore(what: string, run: (store: PolicyStore, spine: Spine) => Promise<void>): void {
  Deno.test(what, async () => {
    await using engine = testSpine();
    await run(await openPolicyStore(engine.spine), engine.spine);
  });
}

/** Both deploy at the same time, under different names: every deployment becomes a version, and none is lost. */
onStore("all concurrent deployments are kept", async (one, spine) => {
  const stores = [one, await openPolicyStore(spine)];
  const names = Array.from({ length: 24 }, (_, at) => `p${at}`);
  await Promise.all(names.map((name, at) => {
    const store = stores[at % 2];
    return store?.change("acme", (document) => withPolicy(document, binding({ name }), author));
  }));
  const { document } = await one.read("acme");
  assert.deepEqual(document.current.policies.map(({ name }) => name).sort(), names.sort());
  assert.equal(document.current.version, names.length);
});

onStore(
  "after a conflict a change is computed again from the new document, and may then be refused",
  async (store, spine) => {
    const bucket = await spine.keyValue("ARQON_POLICIES");
    await store.change("acme", (document) => withPolicy(document, binding({ name: "a" }), author));
    const requests: number[] = [];
    const removing = store.change("acme", (document) => {
      requests.push(document.current.version);
      const removed = withoutPolicy(document, "a", author);
      // The other writer is slightly faster.
      if (requests.length === 1) void bucket.put(["acme"], documentBytes(removed));
      return removed;
    });
    await assert.rejects(removing, refusedWith("policy-unknown"));
    assert.deepEqual(requests, [1, 2]);
  },
);

onStore("a change that always conflicts is a policy-conflict", async (store, spine) => {
  const bucket = await spine.keyValue("ARQON_POLICIES");
  await store.change("acme", (document) => withPolicy(document, binding(), author));
  const stored = await bucket.get(["acme"]);
  const overtaken = store.change("acme", (document) => {
    void bucket.put(["acme"], stored?.value ?? bytes(""));
    return withPolicy(document, binding({ name: "q" }), author);
  });
  await assert.rejects(overtaken, refusedWith("policy-conflict"));
});

onStore("a change that changes nothing is not written", async (store) => {
  const deploy = () => store.change("acme", (one) => withPolicy(one, binding(), author));
  const first = await deploy();
  assert.deepEqual(await deploy(), first);
  assert.deepEqual(await store.read("acme"), first);
  assert.deepEqual((await store.read("nobody")).revision, 0);
});

onStore("only a reset overwrites an unreadable document", async (store, spine) => {
  const bucket = await spine.keyValue("ARQON_POLICIES");
  await bucket.put(["acme"], bytes("{"));
  const conflict = refusedWith("policy-conflict");
  const deploy = () => store.change("acme", (one) => withPolicy(one, binding(), author));
  await assert.rejects(deploy(), conflict);
  await assert.rejects(store.read("acme"), conflict);
  await store.reset("acme");
  assert.equal((await deploy()).document.current.version, 1);
  await assert.rejects(store.reset("acme"), conflict);
  await assert.rejects(store.reset("nobody"), conflict);
});

onStore(
  "a module is stored once under its sha256, and other bytes under it are refused",
  async (store, spine) => {
    const module = tinyModule(1);
    const sha256 = await store.putModule(module);
    assert.equal(sha256, await sha256Hex(module));
    assert.deepEqual(await store.module(sha256), module);
    assert.equal(await store.module("0".repeat(64)), undefined);
    const objects = await spine.objects("ARQON_MODULES");
    await objects.put(sha256, bytes("others"));
    await assert.rejects(store.module(sha256), refusedWith("internal"));
    await store.putModule(module);
    assert.deepEqual(await store.module(sha256), module, "an upload repairs it");
  },
);
