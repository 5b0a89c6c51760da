/**
 * Runs a chain on the calling thread, which has the store of keyed state. Its writes are in its reply; the caller
 * decides whether they are kept (`keepWritten`).
 */
import type { EvaluateRequest } from "../abi/policy.ts";
import { type ChainEntry, requestInPlace } from "../ring/ring_message.ts";
import type { ReadRequestState } from "../ring/ring_state.ts";
import type { WorkerReply } from "../ring/ring_words.ts";
import { applyChanges, type HeldValues } from "../state/held_values.ts";
import { hasSlots, refsOf } from "../state/key_holds.ts";
import type { StateStore } from "../state/state_store.ts";
import { type ChainRunner, runChain } from "./worker_chain.ts";

/** The values of the chain's slots, which nobody else uses while it runs; undefined if it has none. */
function valuesOf(
  store: StateStore,
  chain: readonly ChainEntry[],
  now_ms: number,
): ReadRequestState | undefined {
  if (!hasSlots(chain)) return undefined;
  const given = refsOf(chain).map((ref, hold) => [hold, store.get(ref, now_ms) ?? null] as const);
  return { holds: given.map(([hold]) => hold), hold_changes: { given, ended: [] } };
}

/**
 * Makes the function that runs chains with their values from the store; `now_ms` is the start of the chain. It never
 * throws.
 */
export function createInPlace(
  limits: Omit<ChainRunner, "held">,
  store: StateStore,
): (request: EvaluateRequest, chain: readonly ChainEntry[], now_ms?: number) => WorkerReply {
  const held: HeldValues = new Map();
  const runner = { ...limits, held };
  return (request, chain, now_ms = limits.now()) => {
    const in_place = requestInPlace(request, chain, valuesOf(store, chain, now_ms));
    if (in_place.hold_changes !== undefined) applyChanges(held, in_place.hold_changes);
    return runChain(runner, in_place, now_ms);
  };
}
