/**
 * What a chain does with real guests, on this thread: claims, headers, instances, progress.
 */
import assert from "node:assert/strict";
import { HOOKS } from "./policy.ts";
import type { WorkerEntry, WorkerRequest } from "./ring_message.ts";
import { meteredGuest } from "./test_guests.ts";
import { runChain } from "./worker_chain.ts";
import { createInstances } from "./worker_instances.ts";

const encoder = new TextEncoder();

async function runnerOf(guests: readonly Parameters<typeof meteredGuest>[0][]) {
  const instances = createInstances(10);
  for (const [index, guest] of guests.entries()) {
    instances.load(index + 1, await WebAssembly.compile(meteredGuest(guest)));
  }
  const steps: number[] = [];
  let now_ms = 0;
  const runner = {
    instances,
    fuel_limit: 10_000,
    now: () => now_ms++,
    onProgress: (module: number) => void steps.push(module),
  };
  return { runner, steps };
}

function requestOf(chain: WorkerEntry[], more: Partial<WorkerRequest> = {}): WorkerRequest {
  return {
    generation: 1,
    id: 1,
    deadline_ms: 0,
    hook: HOOKS[2]!,
    tenant_id: "acme",
    chain,
    facts: () => ({ headers: [], claims: {} }),
    payload: encoder.encode("hello"),
    ...more,
  };
}

const entry = (module: number): WorkerEntry => ({ module, mode: "enforce" });
const show = (fetched: string, name: string) => ({
  more: `(data (i32.const 0) "${name}")`,
  body: `(call $show (call $${fetched} (i32.const 0) (i32.const ${name.length}))) i32.const 0`,
});

Deno.test("claims are the token's own: text as it is, the rest as JSON", async () => {
  const names = ["sub", "roles", "toString", "__proto__", "nothing"];
  const { runner } = await runnerOf(names.map((name) => show("get_claim", name)));
  const claims = JSON.parse('{"sub":"al\\"ice","roles":["a",1],"nothing":null}');
  const request = requestOf(names.map((_, index) => entry(index + 1)), {
    facts: () => ({ headers: [], claims }),
  });
  const { logs } = runChain(runner, request);
  assert.deepEqual(logs.map(({ place, message }) => [place, message]), [
    [0, 'al"ice'],
    [1, '["a",1]'],
    [4, "null"],
  ]);
});

Deno.test("headers are not looked at before a policy asks, and names fold in ASCII only", async () => {
  const { runner } = await runnerOf([{ body: "i32.const 0" }, show("get_header", "X-K")]);
  let asked = 0;
  // U+212A, the Kelvin sign, is a "k" only to Unicode.
  const headers = [["x-\u212a", "kelvin"], ["X-k", "right"], ["x-K", "second"]] as const;
  const facts = () => {
    asked++;
    return { headers, claims: {} };
  };
  runChain(runner, requestOf([entry(1)], { facts }));
  assert.equal(asked, 0);
  const { logs } = runChain(runner, requestOf([entry(2)], { facts }));
  assert.deepEqual(logs.map(({ message }) => message), ["right"]);
});

Deno.test("a fault throws the instance away, a refusal keeps it", async () => {
  const body = `(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (if (i32.eq (global.get $calls) (i32.const 3)) (then unreachable))
    (call $reject (i32.add (i32.const 400) (global.get $calls)) (i32.const 0) (i32.const 0))
    i32.const 0`;
  const { runner } = await runnerOf([{ body }]);
  const codes = Array.from(
    { length: 5 },
    () => runChain(runner, requestOf([entry(1)])).outcomes[0]?.code,
  );
  assert.deepEqual(codes, [401, 402, 503, 401, 402]);
});

Deno.test("progress is shown around each policy, and time is told of each", async () => {
  const { runner, steps } = await runnerOf([{ body: "i32.const 0" }, { body: "i32.const 1" }]);
  const reply = runChain(runner, requestOf([entry(1), entry(2), entry(1)]));
  assert.deepEqual(steps, [1, 0, 2, 0]);
  assert.deepEqual(
    reply.outcomes.map(({ code, duration_ms }) => [code, duration_ms]),
    [[0, 1], [403, 1]],
  );
});

Deno.test("all log lines of a chain together are bounded", async () => {
  const body = `(memory.fill (i32.const 0) (i32.const 97) (i32.const 1024))
    (loop $l (call $log (i32.const 0) (i32.const 0) (i32.const 1024))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 32))))
    i32.const 0`;
  const { runner } = await runnerOf([{ body }]);
  const { logs } = runChain(runner, requestOf(Array.from({ length: 10 }, () => entry(1))));
  assert.equal(logs.length, 128);
});

Deno.test("a module that was unloaded is missing, its instances are gone", async () => {
  const { runner } = await runnerOf([{ body: "i32.const 0" }]);
  runChain(runner, requestOf([entry(1)]));
  assert.equal(runner.instances.size, 1);
  runner.instances.unload(1);
  assert.equal(runner.instances.size, 0);
  assert.equal(runChain(runner, requestOf([entry(1)])).outcomes[0]?.fault, "missing-module");
});
