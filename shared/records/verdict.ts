/** A policy of a tenant's chain, and its verdict, for its runner and for observers. Plain data. */

/**
 * Every hook, in the order of a connection's life: the one list of them. New ones come last, as their positions are
 * their numbers.
 */
export const HOOKS = ["on_connect", "on_subscribe", "on_message", "on_append"] as const;
/** The point at which a policy runs; the guest's export is `arqon_` and this name. */
export type Hook = typeof HOOKS[number];

/**
 * The effect of a policy's verdict. With `observe` it is only counted and logged: it never blocks, and adds no header.
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
  /** The position in the chain: lower runs first, equal ones by name. */
  readonly order: number;
  readonly mode: PolicyMode;
  /** The fraction of keys for which the policy runs, by the coherent hash; 1 is always. */
  readonly percent: number;
}

/** Why a policy reached no verdict; the message is refused (fail closed), with 503 or 403. */
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

/** The outcome of one policy of the chain, and its cost. */
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
   * The fuel for making an instance for the call, in the same units, or for restoring its first state; 0 if an instance
   * with persistent state existed.
   */
  readonly instance_fuel: number;
  readonly duration_ms: number;
  /** True when it has replaced the payload; absent: it has not. */
  readonly replaced?: boolean;
  /** When to retry, in ms; absent: unknown. */
  readonly retry_after_ms?: number;
  /** True if the connection must be closed, as its user continues after `sender-slowed`. */
  readonly closes?: true;
}

/** One header or claim that a policy read; null: none. */
export type PolicyRead = readonly [from: "header" | "claim", name: string, value: string | null];

/** One value of keyed state, as base64; null: none, or deleted. */
export interface PolicyValue {
  /** The key of the slot as declared. */
  readonly template: string;
  readonly filled: string;
  readonly value: string | null;
}

/** The data that a policy read and wrote in one call, for the journal. */
export interface PolicySeen {
  readonly has_read_payload: boolean;
  /** Each name once, in order; beyond a limit of the whole chain they are omitted. */
  readonly reads: readonly PolicyRead[];
  readonly abi: 1 | 2;
  /** State values that it read before writing them, and those that it wrote. */
  readonly state_reads: readonly PolicyValue[];
  readonly state_writes: readonly PolicyValue[];
  readonly added_headers: readonly (readonly [name: string, value: string])[];
  /** The size of all headers and claims, charged at its first read of one; 0: none. */
  readonly asking_bytes: number;
  /** The payload that it replaced the previous one with, as base64; absent: none, or too long. */
  readonly payload?: string;
  /** The units available to its call. */
  readonly budget_units: number;
  /** The fault as a text; "" without a fault. */
  readonly detail: string;
}

/** The chain's verdict: that of the first enforcing policy that refuses, otherwise allowed. */
export interface Verdict {
  readonly allowed: boolean;
  /** 0 if allowed; otherwise 400 to 599: the policy's own code, 403 by default, 503 for its faults. */
  readonly code: number;
  /** The policy's own text; "" if none. */
  readonly reason: string;
  /** The name of the policy that refused; "" if allowed. */
  readonly name: string;
  readonly added_headers: readonly (readonly [name: string, value: string])[];
  /** The new payload; absent: unchanged. */
  readonly payload?: Uint8Array | undefined;
  readonly outcomes: readonly PolicyOutcome[];
  readonly logs: readonly PolicyLog[];
  /** The data that the policies read and wrote, in the order of `outcomes`; absent unless requested. */
  readonly seen?: readonly PolicySeen[];
}
