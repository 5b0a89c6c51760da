/** Chains for tests of the worker's parts, on this thread. */
import type { WorkerEntry } from "../ring/ring_last.ts";
import type { WorkerRequest } from "../ring/ring_message.ts";
import type { ChainRunner, Instances } from "../worker/worker_chain.ts";

/** What runs chains of these instances, at time 0. */
export const runnerOf = (instances: Instances, fuel_limit = 10_000): ChainRunner => ({
  instances,
  fuel_limit,
  chain_fuel_limit: 2 * fuel_limit,
  now: () => 0,
  onProgress: () => {},
});

/** A module that enforces. */
export const entryOf = (module: number): WorkerEntry => ({ module, mode: "enforce" });

/** A message of `acme` for these modules; the policies find nothing but the payload, unless `more` overrides that. */
export function requestOf(chain: WorkerEntry[], more: Partial<WorkerRequest> = {}): WorkerRequest {
  return {
    id: 1,
    deadline_ms: 0,
    hook: "on_message",
    tenant_id: "acme",
    chain,
    facts: () => ({ headers: [], claims: {} }),
    facts_bytes: 0,
    payload: new TextEncoder().encode("hello"),
    payload_most: 1_000,
    ...more,
  };
}
