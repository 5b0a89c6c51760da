/**
 * Runs a policy as the Shield does: checked against the ABI, metered, and called by the Shield's own host. One instance
 * at a time, no workers and no server. For tests only.
 */
import { meterPolicy } from "../../shield/policy/abi/abi_check.ts";
import { type GuestOutcome, instantiateGuest } from "../../shield/policy/abi/host_abi.ts";
import type { Hook } from "../../shared/records/verdict.ts";
import { stateKeysText } from "../../wasm/instance/state_keys.ts";
import { filledKey, parseStateKeys } from "../../shield/policy/state/declaration.ts";

const BUILD = new URL("../build/", import.meta.url);
/** The default `[platform.overseer] memory_limit_pages`. */
const MEMORY_LIMIT_PAGES = 64;
/** The default `[platform.overseer] fuel_limit`. */
export const FUEL_LIMIT = 10_000;

/** The subject of a call. */
export interface Asked {
  readonly hook?: Hook;
  /** Names in lower case. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly claims?: Readonly<Record<string, string>>;
  readonly payload?: string | Uint8Array;
  /** Fuel of this call; the default limit if absent. */
  readonly fuel?: number;
}

/** One instance of a policy. */
export type Policy = (request: Asked) => GuestOutcome;

/** Bytes of a committed example, by its name. */
export async function readPolicy(name: string): Promise<Uint8Array<ArrayBuffer>> {
  return await Deno.readFile(new URL(`${name}.wasm`, BUILD));
}

/** Checks and meters a module and makes an instance; throws what the Shield says about a bad one. */
export function startPolicy(bytes: Uint8Array): Policy {
  const metered = meterPolicy(bytes, { memory_limit_pages: MEMORY_LIMIT_PAGES });
  const compiled = new WebAssembly.Module(metered.bytes);
  const made = () => instantiateGuest({ compiled, renewal: metered.renewal });
  let guest = made();
  const kept = keptState(compiled);
  return (request) => {
    const { hook = "on_message", headers = {}, claims = {}, payload = "" } = request;
    const { state, keep } = kept(request);
    const outcome = guest.call(hook, {
      header: (name) => Object.hasOwn(headers, name) ? headers[name] : undefined,
      claim: (name) => Object.hasOwn(claims, name) ? claims[name] : undefined,
      payload: typeof payload === "string" ? new TextEncoder().encode(payload) : payload,
      state,
    }, request.fuel ?? FUEL_LIMIT);
    keep(outcome);
    // Such as one that has grown its memory.
    if (outcome.broken) guest = made();
    return outcome;
  };
}

/** The state of a module, which is never too much and never too old. */
function keptState(compiled: WebAssembly.Module) {
  const slots = parseStateKeys(stateKeysText(compiled));
  const value_bytes = slots.map((slot) => slot.value_bytes);
  const values = new Map<string, Uint8Array | null>();
  return ({ headers = {}, claims = {} }: Asked) => {
    const facts = { headers: Object.entries(headers), claims };
    const source = { tenant_id: "acme", connection_id: "c1", facts: () => facts };
    const keys = slots.map((slot, at) => `${at} ${filledKey(slot, source)}`);
    return {
      state: { value_bytes, value: (slot: number) => values.get(keys[slot]!) ?? null },
      keep({ written }: GuestOutcome) {
        for (const [slot, value] of written ?? []) values.set(keys[slot]!, value);
      },
    };
  };
}

/** Starts a committed example. */
export async function startExample(name: string): Promise<Policy> {
  return startPolicy(await readPolicy(name));
}
