/** Chains with real guests, on this thread: claims, headers, instances, progress. */
import assert from "node:assert/strict";
import { UNITS_PER_FUEL } from "../../../wasm/metering/meter_costs.ts";
import { entryOf as entry, requestOf, runnerOf as plainRunner } from "../testing/chains.ts";
import { meteredGuest } from "../testing/guests.ts";
import { Instances, runChain } from "./worker_chain.ts";

const INSTANCE_UNITS = 50_000;

async function runnerOf(guests: readonly Parameters<typeof meteredGuest>[0][]) {
  const instances = new Instances(10);
  for (const [index, guest] of guests.entries()) {
    const compiled = await WebAssembly.compile(meteredGuest(guest));
    instances.load(index + 1, { compiled, instance_units: INSTANCE_UNITS });
  }
  const steps: number[] = [];
  let now_ms = 0;
  const onProgress = (module: number) => void steps.push(module);
  const runner = { ...plainRunner(instances), now: () => now_ms++, onProgress };
  return { runner, steps };
}

const show = (fetched: string, name: string) => ({
  more: `(data (i32.const 0) "${name}")`,
  body: `(call $show (call $${fetched} (i32.const 0) (i32.const ${name.length}))) i32.const 0`,
});

Deno.test("claims are those of the token: text unchanged, other values as JSON", async () => {
  const names = ["sub", "roles", "toString", "__proto__", "nothing"];
  const { runner } = await runnerOf(names.map((name) => show("get_claim", name)));
  const claims = JSON.parse('{"sub":"al\\"ice","roles":["a",1],"nothing":null}');
  const request = requestOf(names.map((_, index) => entry(index + 1)), {
    facts: () => ({ headers: [], claims }),
  });
  const { logs } = runChain(runner, request);
  const messages = logs.map(({ place, message }) => [place, message]);
  assert.deepEqual(messages, [[0, 'al"ice'], [1, '["a",1]'], [4, "null"]]);
});

Deno.test("headers are not read before a policy asks for them, and names are compared without case in ASCII only", async () => {
  const { runner } = await runnerOf([{ body: "i32.const 0" }, show("get_header", "X-K")]);
  let requests = 0;
  // U+212A, the Kelvin sign, is a "k" only in Unicode.
  const headers = [["x-\u212a", "kelvin"], ["X-k", "right"], ["x-K", "second"]] as const;
  const facts = () => (requests++, { headers, claims: {} });
  runChain(runner, requestOf([entry(1)], { facts }));
  assert.equal(requests, 0);
  const { logs } = runChain(runner, requestOf([entry(2)], { facts }));
  assert.deepEqual(logs.map(({ message }) => message), ["right"]);
});

Deno.test("progress is shown around each policy, and each has its time", async () => {
  const { runner, steps } = await runnerOf([{ body: "i32.const 0" }, { body: "i32.const 1" }]);
  const reply = runChain(runner, requestOf([entry(1), entry(2), entry(1)]));
  assert.deepEqual(steps, [1, 0, 2, 0]);
  const ran = reply.outcomes.map(({ code, duration_ms }) => [code, duration_ms]);
  assert.deepEqual(ran, [[0, 1], [403, 1]]);
});

Deno.test("the log lines of a chain together are limited", async () => {
  const body = `(memory.fill (i32.const 0) (i32.const 97) (i32.const 1024))
    (loop $l (call $log (i32.const 0) (i32.const 0) (i32.const 1024))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 32))))
    i32.const 0`;
  const { runner } = await runnerOf([{ body }]);
  const { logs } = runChain(runner, requestOf(Array.from({ length: 10 }, () => entry(1))));
  assert.equal(logs.length, 128);
});

Deno.test("an unloaded module is missing, and its instances are removed", async () => {
  const { runner } = await runnerOf([{ body: "i32.const 0" }]);
  runChain(runner, requestOf([entry(1)]));
  assert.equal(runner.instances.size, 1);
  runner.instances.unload(1);
  assert.equal(runner.instances.size, 0);
  assert.equal(runChain(runner, requestOf([entry(1)])).outcomes[0]?.fault, "missing-module");
});

/** Loops `times` times, for a little more than 3 fuel per thousand, and allows. */
const burns = (times: number) => ({
  body: `(local.set $i (i32.const ${times}))
    (loop $again (br_if $again (local.tee $i (i32.sub (local.get $i) (i32.const 1))))) i32.const 0`,
});
const FUEL_OF_INSTANCE = INSTANCE_UNITS / UNITS_PER_FUEL;

Deno.test("an observing policy uses none of the budget of enforcing ones, and cannot use more than its own", async () => {
  const { runner } = await runnerOf([burns(500_000), { body: "i32.const 0" }]);
  const observers = Array.from({ length: 20 }, () => ({ module: 1, mode: "observe" }) as const);
  const { outcomes } = runChain(runner, requestOf([...observers, entry(2)]));
  assert.equal(outcomes.length, 21, "a refusal of an observing policy ends nothing");
  assert.deepEqual([outcomes[0]?.fault, outcomes[19]?.fault], [undefined, "chain-fuel"]);
  assert.equal(outcomes[20]?.allowed, true);
});

Deno.test("making an instance is charged each time: at first, after a trap, and after another tenant's use", async () => {
  const { runner } = await runnerOf([{ body: "unreachable" }, { body: "i32.const 0" }]);
  const charged = (module: number, tenant_id: string) =>
    runChain(runner, requestOf([entry(module)], { tenant_id })).outcomes[0]!.instance_units;
  assert.deepEqual([charged(1, "a"), charged(1, "a"), charged(1, "a")], Array(3).fill(50_000));
  assert.deepEqual([charged(2, "a"), charged(2, "a"), charged(2, "b")], [50_000, 0, 50_000]);
});

Deno.test("instances count against the chain's budget and are kept, so they exist the next time", async () => {
  const { runner } = await runnerOf(Array(8).fill({ body: "i32.const 0" }));
  const small = { ...runner, chain_fuel_limit: 3.5 * FUEL_OF_INSTANCE };
  const chain = Array.from({ length: 8 }, (_, index) => entry(index + 1));
  const refusals = [];
  for (;;) {
    const { outcomes } = runChain(small, requestOf(chain));
    const { fault, allowed } = outcomes.at(-1)!;
    if (allowed) break;
    assert.equal(fault, "chain-fuel");
    refusals.push(outcomes.length);
  }
  assert.deepEqual(refusals, [4, 8], "each message makes some more of them");
});

Deno.test("an instance that costs more than the chain's whole budget is made once, and then runs", async () => {
  const { runner } = await runnerOf([{ body: "i32.const 0" }]);
  const small = { ...runner, chain_fuel_limit: FUEL_OF_INSTANCE / 2 };
  const faults = [1, 2].map(() => runChain(small, requestOf([entry(1)])).outcomes[0]?.fault);
  assert.deepEqual(faults, ["chain-fuel", undefined]);
});
