/** What the gate of chains lets run, of modules whose life is given. */
import assert from "node:assert/strict";
import { parseConfig } from "../../../shared/config/load.ts";
import { chainState } from "../state/chain_state.ts";
import { parseStateKeys } from "../state/declaration.ts";
import { keptPolicyLog } from "../testing/guests.ts";
import { message, policy } from "../testing/pool.ts";
import { createChainGate } from "./chain_gate.ts";

Deno.test("a request that came before a module with state was loaded finds it missing, and blames nobody", () => {
  const slots = parseStateKeys('[{"key":"{tenant}","ttl_seconds":1,"value_bytes":8}]');
  const loaded = { state: "loaded", number: 1, asks: false, abi: 2, slots } as const;
  const gate = createChainGate({
    policy: { ...parseConfig("", { file: "test" }).policy, breaker_failures: 1 },
    modules: {
      find: () => loaded,
      isLoaded: () => true,
      sha256: () => "count",
      isQuarantined: () => false,
    },
    log: keptPolicyLog().log,
    now: () => 0,
  });
  const request = message([policy("count")]);
  const early = gate.admit(request, undefined, 0);
  assert("verdict" in early);
  assert.deepEqual(early.verdict.outcomes.map(({ fault }) => fault), ["missing-module"]);
  const later = gate.admit(request, chainState(request, () => slots), 0);
  assert("chain" in later);
  assert.deepEqual(later.chain.map((entry) => entry.slots?.length), [1]);
});
