/** The recorded reads of a chain's policies, with real guests; without a request nothing is recorded. */
import assert from "node:assert/strict";
import { UNITS_PER_FUEL } from "../../../wasm/metering/meter_costs.ts";
import type { WorkerRequest } from "../ring/ring_message.ts";
import { SIGNED } from "../abi/policy.ts";
import { entryOf as entry, requestOf, runnerOf } from "../testing/chains.ts";
import { meteredGuest } from "../testing/guests.ts";
import { Instances, runChain } from "./worker_chain.ts";

const FUEL = 10_000;
/** Replaces the payload with four bytes. */
const SETS = meteredGuest({
  abi: 2,
  body: "(call $set_payload (i32.const 0) (i32.const 4)) i32.const 0",
});
const REQUEST = requestOf([], {
  facts: () => ({ headers: [["X-A", "one"], ["x-a", "two"]], claims: { roles: ["a"] } }),
  facts_bytes: 77,
});
const NAMES = '(data (i32.const 0) "x-arolesx-bX-A")';
const ask = (fetched: string, at: number, size: number) =>
  `(drop (call $${fetched} (i32.const ${at}) (i32.const ${size})))`;

async function outcomesOf(request: WorkerRequest, ...bodies: string[]) {
  const instances = new Instances(10);
  for (const [index, body] of bodies.entries()) {
    const guest = meteredGuest({ more: NAMES, body: `${body} i32.const 0` });
    const compiled = await WebAssembly.compile(guest);
    instances.load(index + 1, { compiled, instance_units: 0 });
  }
  const chain = bodies.map((_, index) => entry(index + 1));
  return runChain(runnerOf(instances, FUEL), { ...request, chain }).outcomes;
}

const READS = ask("get_header", 0, 3) + ask("get_header", 11, 3) + ask("get_claim", 3, 5) +
  ask("get_header", 8, 3);

Deno.test("reads are reported with their values, each name once, on request", async () => {
  const [recorded, silent] = await outcomesOf({ ...REQUEST, record_reads: true }, READS, "");
  assert.deepEqual(recorded!.seen, {
    reads: [["header", "x-a", "one"], ["claim", "roles", '["a"]'], ["header", "x-b", null]],
    added_headers: [],
    asking_bytes: 77,
  });
  assert.equal(recorded!.has_read_payload, undefined);
  assert.deepEqual([silent!.seen, silent!.has_read_payload], [undefined, undefined]);
  const [plain] = await outcomesOf(REQUEST, READS);
  assert.deepEqual([plain!.seen, plain!.has_read_payload], [undefined, undefined]);
  assert.equal(plain!.units, recorded!.units, "recording costs the guest nothing");
  const adds = "(call $add_header (i32.const 0) (i32.const 3) (i32.const 0) (i32.const 3))";
  const [adding, reading] = await outcomesOf({ ...REQUEST, record_reads: true }, adds, READS);
  assert.deepEqual([adding!.seen?.reads, reading!.seen?.reads.length], [[], 3]);
});

Deno.test("a read of the payload is reported for the policy that read it", async () => {
  const request = { ...REQUEST, record_reads: true };
  const [first, second] = await outcomesOf(request, "(drop (call $get_payload))", "");
  assert.deepEqual([first!.has_read_payload, second!.has_read_payload], [true, undefined]);
});

Deno.test("the recorded reads of a chain are limited, and a budget that others have reduced is reported", async () => {
  const long = "v".repeat(40_000);
  const facts = () => ({ headers: [["x-a", long]] as [string, string][], claims: {} });
  const request = { ...REQUEST, record_reads: true, facts };
  const burn = "(loop $l (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) " +
    "(i32.const 1))) (i32.const 600000))))";
  const reads = ask("get_header", 0, 3) + ask("get_header", 8, 3);
  const ran = await outcomesOf({ ...request, facts_bytes: 0 }, reads, burn, burn, "");
  const [long_read, burnt, again, short] = ran;
  assert.deepEqual(long_read!.seen?.reads, [["header", "x-b", null]]);
  assert.equal(burnt!.seen, undefined);
  const left = 2 * FUEL * UNITS_PER_FUEL - long_read!.units - burnt!.units - again!.units;
  assert(left < FUEL * UNITS_PER_FUEL);
  assert.equal(short!.seen?.budget_units, left);
});

Deno.test("the limit of a new payload also applies while reads are recorded", async () => {
  const instances = new Instances(10);
  const module = await WebAssembly.compile(SETS);
  instances.load(1, { compiled: module, instance_units: 0, renewal: { by: "instance" } });
  const runner = runnerOf(instances, FUEL);
  const limits = [[SIGNED, "signed-payload"], [3, "payload-too-large"]] as const;
  for (const record_reads of [false, true]) {
    for (const [payload_most, fault] of limits) {
      const request = { ...REQUEST, chain: [entry(1)], payload_most, record_reads };
      const [outcome] = runChain(runner, request).outcomes;
      assert.equal(outcome!.fault, fault, `record_reads ${record_reads}`);
    }
  }
});
