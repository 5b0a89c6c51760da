/** Documents of an apply: after a Shield dies, another one writes them, and no Shield writes them late. */
import assert from "node:assert/strict";
import { canonicalJson } from "../../shared/canonical_json.ts";
import { sha256Hex } from "../../shared/sha256.ts";
import { overriding } from "../../shared/testing/overriding.ts";
import { turnsDuring } from "../../shared/testing/turns_during.ts";
import { ArqonError } from "@arqon/proto";
import { HookStore } from "../hooks/hook_store.ts";
import { keptLog, SPINE_NOW_MS } from "../testing/spine.ts";
import type { AppliesOptions } from "./applies.ts";
import { hooksKind } from "../hooks/capability.ts";
import { schedulesKind } from "../schedules/schedules_kind.ts";
import { StateHook, StateSchedule } from "../../shared/records/tenant_settings.ts";
import { Documents, documentsHash } from "./documents.ts";
import { appliesOn, basisOf, startParts } from "./testing/world.ts";

const LIMITS = { headers: 8, header_bytes: 1_024, field_bytes: 256 };
const hook = (id: string, retries: number) =>
  StateHook.parse({ id, url: "https://a.example.com/", retries });
const schedule = (id: string, every_ms: number) =>
  StateSchedule.parse({ id, room: "r", message: { type: "t", data: 1 }, every_ms });

type Given = NonNullable<AppliesOptions["documents"]>;

async function world() {
  const parts = await startParts();
  const { spine, settings } = parts;
  const { log } = keptLog();
  const now = () => SPINE_NOW_MS;
  const store = new HookStore(spine, () => [], () => Promise.resolve(undefined));
  const bounds = { tenant_schedules: 10, schedules: 10 };
  const running = { bounds, schedules: { hasRoom: () => true } };
  const none = {
    entry: StateHook as never,
    off: "not here",
    list: () => Promise.resolve([]),
    tenants: () => Promise.resolve([]),
    check: () => Promise.resolve([]),
    write: () => Promise.resolve(),
  };
  const documents = new Documents({
    hooks: hooksKind({ store, webhooks: { tenant_hooks: 8 } }),
    schedules: schedulesKind({ spine, limits: LIMITS, running, log, now }),
    reducers: none,
  });
  const appliesWith = (documents: Given, onRead = () => {}) => {
    const read = (tenant: string) => (onRead(), settings.read(tenant));
    return appliesOn(parts, { documents, settings: overriding(settings, { read }) });
  };
  return { ...parts, documents, store, appliesWith };
}

Deno.test("documents are activated with the apply, also if its Shield dies before writing them", async () => {
  await using test = await world();
  const { documents, appliesWith } = test;
  const write = () => Promise.reject(new ArqonError("spine-unavailable", ""));
  const dead = appliesWith(overriding<Given>(documents, { write }));
  const wanted = { hooks: [hook("a", 1)], schedules: [schedule("s", 5_000)] };
  const checked = await documents.check("acme", wanted);
  assert.match(String(checked.hooks?.[0]?.secret), /^whsec_/);
  await assert.rejects(dead.apply("acme", await basisOf(dead), checked, "root"));
  assert.deepEqual(await documents.list("acme"), { hooks: [], schedules: [] });
  const other = appliesWith(documents);
  await other.finish("acme");
  const { policies: { document }, settings: { settings: after } } = await other.read("acme");
  assert.deepEqual([document.current.version, after.pending], [0, undefined], "no policy changed");
  assert.deepEqual([after.applied?.policies_version, after.version], [0, 1]);
  const { hooks = [], schedules = [] } = await documents.list("acme");
  assert.deepEqual(hooks.map(({ id, retries }) => [id, retries]), [["a", 1]]);
  const starts = schedules.map(({ id, from_ms }) => [id, from_ms]);
  assert.deepEqual(starts, [["s", SPINE_NOW_MS + 5_000]]);
});

Deno.test("however many documents an apply has, it is read as often", async () => {
  await using test = await world();
  const { documents, appliesWith } = test;
  let reads = 0;
  const applies = appliesWith(documents, () => reads++);
  const readsOf = async (count: number) => {
    const numbers = Array.from({ length: count }, (_, at) => `n${at}`);
    const wanted = await documents.check("acme", {
      hooks: numbers.map((id) => hook(id, 1)),
      schedules: numbers.map((id) => schedule(id, 5_000)),
    });
    const basis = await basisOf(applies);
    reads = 0;
    await applies.apply("acme", basis, wanted, "root");
    assert.equal((await documents.list("acme")).schedules?.length, count);
    return reads;
  };
  const one = await readsOf(1);
  assert.equal(await readsOf(8), one);
  assert.ok(await readsOf(0) <= one);
});

Deno.test("a late Shield changes nothing, and a plan on other documents is stale", async () => {
  await using test = await world();
  const { documents, store, appliesWith } = test;
  const slow = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<void>();
  const write: Given["write"] = async (...given) => {
    reached.resolve();
    await slow.promise;
    await documents.write(...given);
  };
  const late = appliesWith(overriding<Given>(documents, { write }));
  const other = appliesWith(documents);
  const before = await documentsHash("acme", await documents.list("acme"));
  const wanted = await documents.check("acme", { hooks: [hook("a", 1), hook("b", 1)] });
  const applying = late.apply("acme", await basisOf(late, before), wanted, "root");
  await reached.promise;
  await other.finish("acme");
  // A manual change after the apply is finished.
  await store.change("acme", "a", (document) => ({
    ...document,
    spec: { ...document.spec!, retries: 7 },
  }));
  await store.remove("acme", "b");
  slow.resolve();
  await applying;
  const { hooks = [] } = await documents.list("acme");
  assert.deepEqual(hooks.map(({ id, retries }) => [id, retries]), [["a", 7]]);
  const stale = other.apply("acme", await basisOf(other, before), { hooks: [] }, "root");
  const concurrent = /hooks, schedules or reducers were changed concurrently/;
  await assert.rejects(stale, { message: concurrent });
});

Deno.test("the hash is that of all lists as one canonical JSON, computed in slices", async () => {
  const one = { room: "r", user: "é", message: { type: "x", data: { b: 1, a: [2, "y"] } } };
  const at = (number: number) => ({ id: `s${number}`, every_ms: 1_000, ...one });
  const lasting = Array.from({ length: 100 }, (_, number) => at(number));
  const ending = { id: "t", at_ms: 5, ...one };
  const reducers = [{ class: "a-*", sha256: "0".repeat(64) }];
  const { value, turns } = await turnsDuring(() =>
    documentsHash("acme", { schedules: [ending, ...lasting], reducers })
  );
  const text = canonicalJson([[], lasting, reducers]);
  assert.equal(value, await sha256Hex(new TextEncoder().encode(text)));
  assert(turns >= 99, `${turns} turns`);
});
