/** The chains that the gate admits, with modules that the test loads and unloads. */
import assert from "node:assert/strict";
import { parseConfig } from "../../../shared/config/load.ts";
import { chainState, parseStateKeys } from "../state/declaration.ts";
import { QUIET } from "../../../shared/testing/logs.ts";
import { message, policy } from "../testing/pool.ts";
import { ChainGate, verdictOf } from "./chain_gate.ts";
import type { Verdict } from "../../../shared/records/verdict.ts";
import { Verdicts } from "./pool.ts";

type GateOptions = ConstructorParameters<typeof ChainGate>[0];

/** The gate of a pool with one module. */
function gateOf(
  sha256: string,
  loaded: ReturnType<GateOptions["modules"]["find"]>,
  more: Partial<GateOptions["policy"]> = {},
): ChainGate {
  return new ChainGate({
    policy: { ...parseConfig("", { file: "test" }).policy, ...more },
    modules: { find: () => loaded, isLoaded: () => true, sha256: () => sha256 },
    quarantine: { has: () => false },
    log: QUIET,
    now: () => 0,
  });
}

Deno.test("a call for which its chain had no fuel does not end its sender's pause", () => {
  const gate = gateOf("p", { number: 1, asks: false, abi: 1, slots: [] });
  const request = message([policy("p")]);
  const isHeld = (now_ms: number) => "verdict" in gate.admit(request, undefined, now_ms);
  const ends = (fault: "trap" | "chain-fuel" | undefined, now_ms: number) => {
    const ran = { allowed: fault === undefined, code: 0, reason: "", units: 1 };
    const outcome = { ...ran, instance_units: 0, duration_ms: 1, ...fault && { fault } };
    const reply = { outcomes: [outcome], added_headers: [], logs: [] };
    const entry = { module: 1, name: "p", mode: "enforce", asks: false, abi: 1 } as const;
    gate.learn(request, [entry], reply, now_ms);
  };
  for (let time = 0; time < 3; time++) ends("trap", 0);
  assert.deepEqual([isHeld(0), isHeld(1_000), isHeld(1_000)], [true, false, true]);
  ends("chain-fuel", 1_000);
  assert.equal(isHeld(1_001), true);
  assert.equal(isHeld(2_000), false);
  ends(undefined, 2_000);
  assert.deepEqual([isHeld(2_001), isHeld(2_001)], [false, false]);
});

Deno.test("a request from before the load of a module with state finds the module missing, and counts against no sender", () => {
  const slots = parseStateKeys('[{"key":"{tenant}","ttl_seconds":1,"value_bytes":8}]');
  const loaded = { number: 1, asks: false, abi: 2, slots } as const;
  const gate = gateOf("count", loaded, { breaker_failures: 1 });
  const request = message([policy("count")]);
  const early = gate.admit(request, undefined, 0);
  assert("verdict" in early);
  assert.deepEqual(early.verdict.outcomes.map(({ fault }) => fault), ["missing-module"]);
  const later = gate.admit(request, chainState(request, () => slots), 0);
  assert("chain" in later);
  assert.deepEqual(later.chain.map((entry) => entry.slots?.length), [1]);
});

// Verdicts are reported together, later, and each to its own caller.

const VERDICT = verdictOf([], { added_headers: [], logs: [] });

Deno.test("verdicts are reported after the task that gave them, in order, and verdicts given meanwhile follow", async () => {
  const verdicts = new Verdicts();
  const reported: string[] = [];
  const add = (name: string, onVerdict = () => {}) =>
    verdicts.add({
      verdict: VERDICT,
      receiver: {
        onVerdict(verdict: Verdict) {
          assert.equal(verdict, VERDICT);
          reported.push(name);
          onVerdict();
        },
      },
    });
  add("first", () => add("third"));
  add("second");
  assert.deepEqual(reported, []);
  await Promise.resolve();
  assert.deepEqual(reported, ["first", "second"]);
  await Promise.resolve();
  assert.deepEqual(reported, ["first", "second", "third"]);
});

Deno.test("a caller that throws keeps no verdict from the others, and the process gets the error", async () => {
  const verdicts = new Verdicts();
  const { promise: thrown, resolve } = Promise.withResolvers<unknown>();
  const onError = (event: ErrorEvent) => {
    event.preventDefault();
    resolve(event.error);
  };
  globalThis.addEventListener("error", onError);
  const error = new Error("the caller throws");
  let reported = false;
  verdicts.add({
    verdict: VERDICT,
    receiver: {
      onVerdict() {
        throw error;
      },
    },
  });
  verdicts.add({ verdict: VERDICT, receiver: { onVerdict: () => void (reported = true) } });
  assert.equal(await thrown, error);
  assert.ok(reported);
  globalThis.removeEventListener("error", onError);
});
