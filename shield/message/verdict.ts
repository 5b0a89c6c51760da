/**
 * What a policy of a tenant's chain is and what it decides, for those who ask and those who observe. Plain data. No
 * behaviour.
 */

/** Every hook, in the order of a connection's life: the one list of them. New ones come last: it numbers them. */
export const HOOKS = ["on_connect", "on_subscribe", "on_message", "on_append"] as const;
/** The point at which a policy runs; the guest's export is `arqon_` and this name. */
export type Hook = typeof HOOKS[number];

/**
 * What a policy's verdict does. With `observe` it is only counted and logged: it never blocks, and adds
 * no header.
 */
export type PolicyMode = "enforce" | "observe";

/** One policy of a tenant's chain. */
export interface PolicyBinding {
  /** Name of the policy within the tenant; `module=` in logs and metrics. An id (`isId`). */
  readonly name: string;
  /** Hex sha256 of the module's bytes as uploaded. */
  readonly sha256: string;
  /** The room id or prefix pattern of the policy; not used for `on_connect`. */
  readonly room: string;
  readonly hooks: readonly Hook[];
  /** The place in the chain: lower runs first, and equal ones run by name. */
  readonly order: number;
  readonly mode: PolicyMode;
  /** The fraction of keys for which the policy runs, by the coherent hash; 1 is always. */
  readonly percent: number;
}

/** Why a policy could not decide; the message is refused (fail closed), with 503 or 403. */
export const POLICY_FAULTS = [
  "fuel",
  "trap",
  "memory",
  "stall",
  "wedge",
  "queue-full",
  "missing-module",
  "breaker-open",
  "rate",
  "payload-too-large",
  "signed-payload",
  "abi",
  "chain-fuel",
  "sender-slowed",
] as const;

/** A fault of `POLICY_FAULTS`. */
export type PolicyFault = typeof POLICY_FAULTS[number];

/** One `host_log` line. */
export interface PolicyLog {
  readonly name: string;
  /** 0 debug, 1 info, 2 warn, 3 error. */
  readonly level: number;
  readonly message: string;
}

/** What one policy of the chain decided, and what that cost. */
export interface PolicyOutcome {
  readonly name: string;
  readonly mode: PolicyMode;
  readonly allowed: boolean;
  readonly code: number;
  readonly reason: string;
  readonly fault: PolicyFault | undefined;
  /** The fuel used, in the units of `fuel_limit` (1 is 500 instruction units), as a fraction. */
  readonly fuel: number;
  /**
   * The fuel that making an instance for the call took, in the same units, or putting its first state
   * back; 0 when there was one and its state lives from call to call.
   */
  readonly instance_fuel: number;
  readonly duration_ms: number;
  /** True when it has replaced the payload; absent: it has not. */
  readonly replaced?: boolean;
  /** When it may be asked again, in ms; absent: that is not known. */
  readonly retry_after_ms?: number;
  /** True when the connection is to be closed, since its user goes on after `sender-slowed`. */
  readonly closes?: true;
}

/** One header or claim that a policy asked for; null: there was none. */
export type PolicyRead = readonly [from: "header" | "claim", name: string, value: string | null];

/** One value of keyed state, as base64; null: there was none, or it was deleted. */
export interface PolicyValue {
  /** The key of the slot as declared. */
  readonly template: string;
  /** The values that filled it. */
  readonly filled: string;
  readonly value: string | null;
}

/** What a policy read and wrote in one call, for the journal. */
export interface PolicySeen {
  readonly has_read_payload: boolean;
  /** Each name once, in the order of asking; what is beyond a bound of the whole chain is left out. */
  readonly reads: readonly PolicyRead[];
  /** The version of the ABI that its module is for. */
  readonly abi: 1 | 2;
  /** The values of state that it asked for before it wrote them, and those that it wrote. */
  readonly state_reads: readonly PolicyValue[];
  readonly state_writes: readonly PolicyValue[];
  readonly added_headers: readonly (readonly [name: string, value: string])[];
  /** The size of all headers and claims, which its first question paid for; 0: it asked nothing. */
  readonly asking_bytes: number;
  /** The payload with which it replaced the one before, as base64; absent: it left it, or it is too long. */
  readonly payload?: string;
  /** The units that its call had. */
  readonly budget_units: number;
  /** What was wrong, in words; "" without a fault. */
  readonly detail: string;
}

/** The chain's verdict: that of the first enforcing policy that refuses, otherwise allowed. */
export interface Verdict {
  readonly allowed: boolean;
  /**
   * 0 when allowed; otherwise 400 to 599: the policy's own code, 403 by default, 503 for its faults.
   */
  readonly code: number;
  /** The policy's own words; "" when it gave none. */
  readonly reason: string;
  /** The name of the policy that refused; "" when allowed. */
  readonly name: string;
  readonly added_headers: readonly (readonly [name: string, value: string])[];
  /** The payload in place of the one that came; absent: it stays. */
  readonly payload?: Uint8Array | undefined;
  readonly outcomes: readonly PolicyOutcome[];
  readonly logs: readonly PolicyLog[];
  /** What the policies that ran have seen, as the first of `outcomes`; absent unless it was asked for. */
  readonly told?: readonly PolicySeen[];
}
