/**
 * A call of a policy of version 2 begins with the state after initialisation, whatever earlier calls did. The test
 * compares real instances of a worker with new ones.
 */
import assert from "node:assert/strict";
import { UNITS_PER_FUEL } from "../../../wasm/metering/meter_costs.ts";
import { restoreUnits } from "../../../wasm/metering/renewal.ts";
import type { ChainOutcome } from "../ring/ring_words.ts";
import { FORGETFUL } from "../testing/forgetful_guests.ts";
import { entryOf, requestOf, runnerOf as plainRunner } from "../testing/chains.ts";
import { runnableGuest } from "../testing/guests.ts";
import { Instances, runChain } from "../worker/worker_chain.ts";

const FUEL = 10_000;

/** A part of a worker that runs one policy, and keeps its instance like a worker. */
function runnerOf(module: ReturnType<typeof runnableGuest>) {
  const instances = new Instances(4);
  instances.load(1, module);
  const runner = { ...plainRunner(instances, FUEL), chain_fuel_limit: 10 * FUEL };
  return (payload: Uint8Array = Uint8Array.of(9)) => {
    const reply = runChain(runner, requestOf([entryOf(1)], { payload, payload_most: 9 }));
    return { ran: reply.outcomes[0]!, logs: reply.logs };
  };
}

/** The parts that must not depend on earlier calls: all except the price of the instance. */
function judged({ instance_units: _, ...ran }: ChainOutcome) {
  return ran;
}

Deno.test("nothing that a policy leaves behind is visible in its next call, in any way", async (t) => {
  for (const [way, guest] of Object.entries(FORGETFUL)) {
    await t.step(way, () => {
      const run = runnerOf(runnableGuest(guest));
      const first = run();
      assert.equal(first.logs.length, 1);
      for (let call = 0; call < 3; call++) {
        const next = run();
        assert.deepEqual(next.logs, first.logs);
        assert.deepEqual(judged(next.ran), judged(first.ran));
      }
    });
  }
});

Deno.test("the same policies of version 1 do see what they left, so the test is meaningful", () => {
  const carried = Object.entries(FORGETFUL).filter(([, guest]) => {
    const run = runnerOf(runnableGuest({ ...guest, abi: 1 }));
    const first = run();
    const next = run();
    return JSON.stringify([next.logs, judged(next.ran)]) !==
      JSON.stringify([first.logs, judged(first.ran)]);
  });
  // A fault ends an instance of version 1, and the height and the stack pointer are always restored.
  const faults = ["memory, and then a trap", "a global, and then all of its fuel"];
  const restored = ["the stack pointer", "the depth of a stack that host_reject left"];
  const never = new Set([...faults, ...restored]);
  const expected = Object.keys(FORGETFUL).filter((way) => !never.has(way));
  assert.deepEqual(carried.map(([way]) => way), expected);
});

Deno.test("a call pays for its instance, or for restoring its state", () => {
  const module = runnableGuest({ abi: 2, pages: 3, body: "i32.const 0" });
  const run = runnerOf(module);
  assert.ok(module.renewal?.by === "restore");
  assert.equal(run().ran.instance_units, module.instance_units);
  for (let call = 0; call < 3; call++) {
    assert.equal(run().ran.instance_units, restoreUnits(module.renewal.units, 3));
  }
  const fresh = runnableGuest(FORGETFUL["a table"]!);
  assert.deepEqual(fresh.renewal, { by: "instance" });
  const again = runnerOf(fresh);
  for (let call = 0; call < 3; call++) {
    assert.equal(again().ran.instance_units, fresh.instance_units);
  }
});

Deno.test("restoring memory costs the same whether arqon_init has grown it or the module begins with it", () => {
  const init = `(func (export "arqon_init") (drop (memory.grow (i32.const 15))))`;
  const grown = runnerOf(runnableGuest({ abi: 2, more: init, body: "i32.const 0" }));
  const declared = runnerOf(runnableGuest({ abi: 2, pages: 16, body: "i32.const 0" }));
  const pays = (run: typeof grown) => [run(), run()].map(({ ran }) => ran.instance_units);
  assert.deepEqual(pays(grown)[1], pays(declared)[1]);
});

Deno.test("after a fault the next call pays for an instance with its initialisation", () => {
  const init = `(func (export "arqon_init") (local $i i32)
    (loop $l (br_if $l (i32.lt_u
      (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000)))))`;
  const body = "(i32.div_u (i32.const 0) (i32.load8_u offset=4 (call $get_payload)))";
  const module = runnableGuest({ abi: 2, more: init, body });
  const run = runnerOf(module);
  const first = run(new Uint8Array([1])).ran;
  assert.ok(first.allowed && first.instance_units > module.instance_units + 5_000);
  assert.ok(run(new Uint8Array([1])).ran.instance_units < 10_000);
  assert.equal(run(new Uint8Array([0])).ran.fault, "trap");
  assert.equal(run(new Uint8Array([1])).ran.instance_units, first.instance_units);
});

Deno.test("a failing initialisation fails every call", () => {
  const bodies: readonly (readonly [string, string, RegExp])[] = [
    ["unreachable", "trap", /^arqon_init: .*unreachable/],
    ["(loop $l (br $l))", "fuel", /^arqon_init: out of fuel/],
    ["(drop (call $get_payload))", "abi", /^arqon_init: the host was called outside of a hook/],
  ];
  for (const [text, fault, detail] of bodies) {
    const more = `(func (export "arqon_init") ${text})`;
    const run = runnerOf(runnableGuest({ abi: 2, more, body: "i32.const 0" }));
    for (let call = 0; call < 2; call++) {
      const { ran } = run();
      assert.equal(ran.fault, fault);
      assert.match(ran.detail ?? "", detail);
      assert.equal(ran.units, FUEL * UNITS_PER_FUEL);
    }
  }
});
