/**
 * The places of the values that the policies of a chain keep for one operation. A place belongs to a policy of a tenant
 * by name, to its mode and to its module: a policy that is deployed again with the same name and module continues with
 * its values, and another module starts without values. Pure.
 */
import type { EvaluateRequest } from "../abi/policy.ts";
import type { PolicyBinding } from "../../../shared/records/verdict.ts";
import { filledKey, type StateSlot } from "./declaration.ts";
import type { StateRef } from "./state_store.ts";

/** The place of a policy's value, and its name in the journal. */
export interface SlotRef extends StateRef {
  /** The key of the slot as declared. */
  readonly template: string;
  /** The values that filled the key. */
  readonly filled: string;
}

/** The places of one operation. */
export interface ChainState {
  readonly keys: readonly StateRef[];
  /** The places of each policy with state, by slot. */
  readonly slots: ReadonlyMap<PolicyBinding, readonly SlotRef[]>;
  /** The filled key of the first slot: operations with the same key go to the same worker. */
  readonly first: string;
}

/**
 * The places of a request; undefined if none of its policies keeps state. `slotsOf` returns the slots of the module
 * with that sha256.
 */
export function chainState(
  request: Pick<EvaluateRequest, "tenant_id" | "connection_id" | "chain" | "facts">,
  slotsOf: (sha256: string) => readonly StateSlot[] | undefined,
): ChainState | undefined {
  const { tenant_id, chain } = request;
  let slots: Map<PolicyBinding, readonly SlotRef[]> | undefined;
  const keys: StateRef[] = [];
  let first = "";
  for (const binding of chain) {
    const declared = slotsOf(binding.sha256);
    if (declared === undefined || declared.length === 0) continue;
    const { name, mode, sha256 } = binding;
    const refs = declared.map((slot, at) => {
      const filled = filledKey(slot, request);
      if (keys.length + at === 0) first = filled;
      const place = `${tenant_id} ${name} ${mode} ${sha256} ${at} ${filled}`;
      return { tenant_id, place, ttl_ms: slot.ttl_ms, template: slot.key, filled };
    });
    keys.push(...refs);
    slots ??= new Map();
    slots.set(binding, refs);
  }
  return slots && { keys, slots, first };
}
