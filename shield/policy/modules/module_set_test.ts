/** Loaded modules: once for all users, unloaded late, never in use. Real compilations. */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { until } from "../../../shared/testing/until.ts";
import { isFinal, type ModuleLoader, ModuleSet } from "./module_set.ts";
import { sha256Hex } from "../../../shared/sha256.ts";
import { BAD_MODULE, compilingLoader, tinyModule } from "../testing/modules.ts";

/** A set of these modules, their names, and its loader. */
async function setOf(
  modules: readonly Uint8Array[],
  more: Partial<ConstructorParameters<typeof ModuleSet>[0]> = {},
) {
  const bytes = new Map<string, Uint8Array>();
  for (const module of modules) bytes.set(await sha256Hex(module), module);
  const loader = compilingLoader();
  const fetch = (sha256: string) => Promise.resolve(bytes.get(sha256));
  const set = new ModuleSet({ loader, fetch, unload_delay_ms: 1, ...more });
  return { set, names: [...bytes.keys()], fetch, loader };
}

Deno.test("a module is fetched and loaded once, however many chains hold it", async () => {
  let fetched = 0;
  const counting = { fetch: (sha256: string) => (fetched++, fetch(sha256)) };
  const { set, names, fetch, loader } = await setOf([tinyModule(1), tinyModule(2)], counting);
  await Promise.all(Array.from({ length: 5 }, () => set.hold(new Set(names), "acme")));
  assert.equal(fetched, 2);
  assert.deepEqual([loader.loads.length, set.size], [2, 2]);
  set.close();
  assert.deepEqual([loader.loaded.size, set.size], [0, 0]);
});

Deno.test("a module is unloaded after its last release and the delay", async () => {
  const { set, names, loader } = await setOf([tinyModule(1)]);
  const modules = new Set(names);
  await set.hold(modules, "acme");
  await set.hold(modules, "acme");
  set.release(modules);
  await set.hold(modules, "acme");
  set.release(modules);
  // Held again before its time is over: it stays, and is not loaded again.
  set.release(modules);
  await set.hold(modules, "acme");
  assert.equal(loader.loads.length, 1);
  set.release(modules);
  await until("the unloading", () => loader.loaded.size === 0);
  await set.hold(modules, "acme");
  assert.equal(loader.loads.length, 2);
  set.close();
});

Deno.test("if one of several modules fails, none is held, and the failure says whether it is final", async () => {
  const { set, names, loader } = await setOf([tinyModule(1), BAD_MODULE]);
  await assert.rejects(set.hold(new Set(names), "acme"), (error) => {
    assert.ok(isFinal(error));
    return /not a WebAssembly module/.test(String(error));
  });
  await until("the unloading of the valid module", () => loader.loaded.size === 0);
  const absent = new Set(["0".repeat(64)]);
  await assert.rejects(set.hold(absent, "acme"), (error) => {
    assert.ok(error instanceof ArqonError && error.reason === "policy-unknown");
    return !isFinal(error);
  });
  assert.equal(set.size, 0);
  set.close();
});

Deno.test("at most four modules are loaded at a time, and all are loaded in the end", async () => {
  const modules = Array.from({ length: 20 }, (_, at) => tinyModule(at));
  let running = 0;
  let most = 0;
  const inner = compilingLoader();
  const loader: ModuleLoader = {
    unload: inner.unload,
    async load(sha256, module) {
      most = Math.max(most, ++running);
      await inner.load(sha256, module);
      running--;
    },
  };
  const { set, names } = await setOf(modules, { loader });
  await set.hold(new Set(names), "acme");
  assert.equal(most, 4);
  assert.equal(set.size, 20);
  set.close();
});

Deno.test("a set that is closed while modules load unloads them when they are loaded", async () => {
  const begun = Promise.withResolvers<void>();
  const fetching = Promise.withResolvers<void>();
  const slow = async (sha256: string) => {
    begun.resolve();
    await fetching.promise;
    return await fetch(sha256);
  };
  const { set, names, fetch, loader } = await setOf([tinyModule(1)], { fetch: slow });
  const held = set.hold(new Set(names), "acme");
  await begun.promise;
  set.close();
  fetching.resolve();
  await held;
  assert.deepEqual([loader.loads.length, loader.loaded.size], [1, 0]);
  await assert.rejects(set.hold(new Set(names), "acme"), /shutting down/);
});
