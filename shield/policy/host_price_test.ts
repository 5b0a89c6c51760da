/**
 * Each host function costs at least as much fuel as its work. The test gives adversarial inputs to each on this thread,
 * and compares the time with a reference loop on the same machine. The minimum of many short runs counts. The last
 * quarter of the bound needs an idle machine: `deno task test:prices`.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { PolicyFacts } from "./abi/policy.ts";
import { decodeRequest, encodeRequest } from "./ring/ring_message.ts";
import { MULTIPLICATIONS_MAX, PATIENCE_MS } from "./testing/price_bound.ts";
import { recordOf } from "./testing/records.ts";
import { applyChanges } from "./state/held_values.ts";
import { runnableGuest } from "./testing/guests.ts";
import { multiplicationNs, timed } from "../../wasm/metering/reference_loop.ts";
import { Instances, runChain } from "./worker/worker_chain.ts";

const FUEL = 10_000;
/** Rounds of short runs until the bound is met: a busy machine needs more of them. */
const ROUNDS = 3;
const MEMORY_PAGES = 64;
/** The short runs that are timed together, since the clock is too coarse for microseconds. */
const SHORT_RUNS = 16;
/** The largest value of state. */
const VALUE_BYTES = 4_096;

/** The text format of one call, with its parts of the payload. */
const CALLS: Readonly<Record<string, string>> = {
  host_get_header: "(drop (call $get_header (local.get $a) (local.get $a_size)))",
  host_get_claim: "(drop (call $get_claim (local.get $a) (local.get $a_size)))",
  host_get_payload: "(drop (call $get_payload))",
  host_add_header:
    "(call $add_header (local.get $a) (local.get $a_size) (local.get $b) (local.get $b_size))",
  host_log: "(call $log (i32.const 1) (local.get $a) (local.get $a_size))",
  host_reject: "(call $reject (i32.const 403) (local.get $a) (local.get $a_size))",
  host_set_payload: "(call $set_payload (local.get $a) (local.get $a_size))",
  host_state_get: "(drop (call $state_get (i32.const 0)))",
  host_state_set: "(call $state_set (i32.const 0) (local.get $a) (local.get $a_size))",
  host_state_delete: "(call $state_delete (i32.const 0))",
};
const NAMES = Object.keys(CALLS);

/** The payload: the number of calls, the sizes of the first and the second part, and the parts. */
function guestOf(call: string) {
  return runnableGuest({
    // The cost of restoring the first state is not tested here, so only functions that need version 2 use it.
    abi: /\$set_payload|\$state_/.test(call) ? 2 : 1,
    pages: MEMORY_PAGES,
    body: "(call $work)",
    more: `(func $work (result i32)
      (local $at i32) (local $count i32) (local $mark i32)
      (local $a i32) (local $a_size i32) (local $b i32) (local $b_size i32)
      (local.set $at (i32.add (call $get_payload) (i32.const 4)))
      (local.set $count (i32.load (local.get $at)))
      (local.set $a_size (i32.load offset=4 (local.get $at)))
      (local.set $b_size (i32.load offset=8 (local.get $at)))
      (local.set $a (i32.add (local.get $at) (i32.const 12)))
      (local.set $b (i32.add (local.get $a) (local.get $a_size)))
      (local.set $mark (global.get $next))
      (if (local.get $count) (then
        (loop $again
          (global.set $next (local.get $mark))
          ${call}
          (br_if $again (local.tee $count (i32.sub (local.get $count) (i32.const 1)))))))
      (i32.const 0))`,
  });
}

const instances = new Instances(NAMES.length);
for (const [at, name] of NAMES.entries()) {
  // The cost of making an instance is not tested here.
  const value_bytes = [VALUE_BYTES];
  instances.load(at + 1, { ...guestOf(CALLS[name]!), instance_units: 0, value_bytes });
}
const held = new Map<number, Uint8Array | null>();
const runner = {
  instances,
  held,
  fuel_limit: FUEL,
  chain_fuel_limit: FUEL,
  now: () => performance.now(),
  onProgress: () => {},
};

interface Input {
  readonly name: string;
  readonly count: number;
  readonly first: Uint8Array;
  readonly second: Uint8Array;
  readonly facts: PolicyFacts;
}

/** The payload for a guest. A second part that the call does not use would only hide its cost. */
function payloadOf({ name, count, first, second }: Input): Uint8Array {
  const is_used = name === "host_add_header" || name === "host_get_payload";
  const used = is_used ? second : new Uint8Array();
  const payload = new Uint8Array(12 + first.length + used.length);
  const view = new DataView(payload.buffer);
  [count, first.length, used.length].forEach((value, at) => view.setUint32(at * 4, value, true));
  payload.set(first, 12);
  payload.set(used, 12 + first.length);
  return payload;
}

/** A request that is read from its bytes, as in a worker. */
function requestOf(input: Input) {
  const { name, second, facts } = input;
  const module = NAMES.indexOf(name) + 1;
  const slots = [{ tenant_id: "acme", place: "p", ttl_ms: 1, template: "", filled: "" }];
  const entry = { module, name, mode: "enforce" as const, asks: true, slots };
  const state = { values: [{ hold: 1, value: second.slice(0, VALUE_BYTES) }], ended: [] };
  const message = { hook: "on_message" as const, tenant_id: "acme", payload_most: 4_194_304 };
  const request = { ...message, facts: () => facts, payload: payloadOf(input) };
  const parts = encodeRequest({ id: 1, deadline_ms: 0 }, request, [entry], state);
  return decodeRequest(recordOf(parts));
}

/** Units and ms of one run of the guest, as a worker runs it: the mean of `times` runs. */
function run(input: Input, times: number): { units: number; took_ms: number } {
  const requests = Array.from({ length: times }, () => requestOf(input));
  applyChanges(held, requests[0]!.hold_changes!);
  let units = 0;
  const took_ms = timed(() => {
    for (const request of requests) units = runChain(runner, request).outcomes[0]!.units;
  });
  return { units, took_ms: took_ms / times };
}

/** The time of the calls in multiplications per unit, without the time of a run without calls. */
function leastRatio(input: Input): number {
  const nothing = { ...input, count: 0 };
  const is_short = input.count <= 3 || input.name === "host_reject";
  const times = is_short ? SHORT_RUNS : 1;
  let least_ms = Infinity;
  let least_nothing_ms = Infinity;
  let ratio = Infinity;
  const deadline_ms = performance.now() + PATIENCE_MS;
  for (let round = 1; ratio > MULTIPLICATIONS_MAX; round++) {
    if (performance.now() > deadline_ms) break;
    const ran = run(input, times);
    const without = run(nothing, times);
    least_ms = Math.min(least_ms, ran.took_ms);
    least_nothing_ms = Math.min(least_nothing_ms, without.took_ms);
    if (round < ROUNDS) continue;
    const ns = Math.max(least_ms - least_nothing_ms, 0) * 1e6;
    ratio = ns / (ran.units - without.units) / multiplicationNs();
  }
  return ratio;
}

const encoder = new TextEncoder();
/** The characters of texts: each alphabet takes another path of decoding, checking and lowering. */
const ALPHABETS: Readonly<Record<string, Uint8Array>> = {
  alternating: encoder.encode("Aa"),
  capitals: encoder.encode("ABCDEFGH"),
  latin: encoder.encode("\u00c9A"),
  emoji: encoder.encode("\u{1f600}"),
  han: encoder.encode("\u6f22"),
  zeros: encoder.encode("\u0000"),
  quotes: encoder.encode('"\\'),
  broken: Uint8Array.of(0xff),
  cut: Uint8Array.of(0xe6, 0xbc),
  token: encoder.encode("x-a!"),
};

/** A text, described briefly for failures. */
type Described = readonly [alphabet: string, size_bytes: number];

function bytesOf([alphabet, size_bytes]: Described): Uint8Array {
  const letters = ALPHABETS[alphabet]!;
  return Uint8Array.from({ length: size_bytes }, (_, at) => letters[at % letters.length]!);
}
const textOf = (described: Described) => new TextDecoder().decode(bytesOf(described));

/** Claims that are expensive to read and to write, by their size. */
const CLAIMS: Readonly<Record<string, (size: number) => unknown>> = {
  numbers: (size) => Array.from({ length: size }, () => 0),
  fractions: (size) => Array.from({ length: size >> 3 }, (_, at) => at / 3),
  objects: (size) => Array.from({ length: size >> 3 }, (_, at) => ({ a: at })),
  keys: (size) => Object.fromEntries(Array.from({ length: size >> 3 }, (_, at) => [`k${at}`, 1])),
  nested: (size) => JSON.parse("[".repeat(1 + size % 500) + "]".repeat(1 + size % 500)),
  text: (size) => "\u0001".repeat(size >> 2),
};

interface Drawn {
  readonly name: string;
  readonly count: number;
  readonly first: Described;
  readonly second: Described;
  readonly headers: readonly (readonly [name: Described, value: Described])[];
  readonly claim: readonly [kind: string, size: number];
  /** Whether the name exists. */
  readonly finds: boolean;
}

function inputOf({ name, count, first, second, headers, claim, finds }: Drawn): Input {
  const found = encoder.encode("FOUND");
  return {
    name,
    count,
    // A value that is too long is a fault, and the next call then needs a new instance.
    first: finds
      ? found
      : bytesOf(first).slice(0, name === "host_state_set" ? VALUE_BYTES : Infinity),
    second: bytesOf(second),
    facts: {
      headers: [
        ...headers.map(([header, value]) => [textOf(header), textOf(value)] as const),
        ["found", textOf(second)],
      ],
      claims: { FOUND: CLAIMS[claim[0]]!(claim[1]) },
    },
  };
}

const alphabet = fc.constantFrom(...Object.keys(ALPHABETS));
const described = (...sizes: fc.Arbitrary<number>[]) => fc.tuple(alphabet, fc.oneof(...sizes));
const small = fc.integer({ min: 0, max: 300 });
const drawn: fc.Arbitrary<Drawn> = fc.record({
  name: fc.constantFrom(...NAMES),
  count: fc.constantFrom(1, 3, 40, 64, 1_000),
  first: described(small, fc.constantFrom(256, 1_024, 16_384, 2_000_000)),
  second: described(small, fc.constantFrom(8_000, 16_000, 200_000)),
  // An envelope and an upgrade request have at most some kilobytes.
  headers: fc.array(fc.tuple(described(small), described(small)), { maxLength: 64 }),
  claim: fc.tuple(fc.constantFrom(...Object.keys(CLAIMS)), fc.constantFrom(0, 100, 1_000, 8_000)),
  finds: fc.boolean(),
});

Deno.test("no host function takes many times its price, whatever its input", () => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(drawn, (input) => {
      seen.add(input.name);
      const ratio = leastRatio(inputOf(input));
      assert.ok(
        ratio <= MULTIPLICATIONS_MAX,
        `${input.name}: ${ratio.toFixed(2)} multiplications per unit`,
      );
    }),
    { numRuns: 80, seed: 7, endOnFailure: true },
  );
  assert.equal(seen.size, NAMES.length);
});
