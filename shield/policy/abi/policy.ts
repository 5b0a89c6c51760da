/**
 * The words of the Overseer: what a policy binding, a request to evaluate one and a verdict are.
 * Plain data, shared by chains, pool, worker and admin API. No behaviour.
 */

/** Every hook, in the order of a connection's life: the one list of them. */
export const HOOKS = ["on_connect", "on_subscribe", "on_message"] as const;
/** When a policy runs; the export of the guest is `arqon_` and this name. */
export type Hook = typeof HOOKS[number];

/** `observe` runs, counts and logs its verdict, and never blocks or adds a header. */
export type PolicyMode = "enforce" | "observe";

/** One policy of a tenant's chain. */
export interface PolicyBinding {
  /** Name of the policy within the tenant; `module=` in logs and metrics. An id (`isId`). */
  readonly name: string;
  /** Hex sha256 of the module's bytes as uploaded. */
  readonly sha256: string;
  /** Room id or prefix pattern; not looked at for `on_connect`. */
  readonly room: string;
  readonly hooks: readonly Hook[];
  /** Lower runs first; equal ones by name. */
  readonly order: number;
  readonly mode: PolicyMode;
  /** Fraction of keys it runs for, by the coherent hash; 1 is always. */
  readonly percent: number;
}

/** What a policy can ask for besides the payload. */
export interface PolicyFacts {
  /** Looked up by `host_get_header` without regard to case, first match: envelope, upgrade request, reserved. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** The token's claims, for `host_get_claim`; a value that is no string is handed over as JSON. */
  readonly claims: Readonly<Record<string, unknown>>;
}

/** What the pool needs to evaluate one hook of one operation. */
export interface EvaluateRequest {
  readonly hook: Hook;
  readonly tenant_id: string;
  /** Keeps the operations of one connection on one worker and in order. */
  readonly connection_id: string;
  /**
   * The policies in order; those that do not apply (room, hook, percent) have been left out. Never
   * empty.
   */
  readonly chain: readonly PolicyBinding[];
  /** Called only when a policy of the chain can ask. */
  readonly facts: () => PolicyFacts;
  /** `Event.data` or `Command.data`; empty for the other hooks. */
  readonly payload: Uint8Array;
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
  "abi",
  "chain-fuel",
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

/** What one policy of the chain said. */
export interface PolicyOutcome {
  readonly name: string;
  readonly mode: PolicyMode;
  readonly allowed: boolean;
  readonly code: number;
  readonly reason: string;
  readonly fault: PolicyFault | undefined;
  /** Fuel used, in the units of `fuel_limit` (1 is 500 instruction units), with its fraction. */
  readonly fuel: number;
  /** Fuel that making an instance for the call took, in the same units; 0 when there was one. */
  readonly instance_fuel: number;
  readonly duration_ms: number;
}

/** The chain's answer: that of the first enforcing policy that refuses, else allowed. */
export interface Verdict {
  readonly allowed: boolean;
  /** 0 when allowed; else 400 to 599: the policy's own code, 403 by default, 503 for its faults. */
  readonly code: number;
  /** The policy's own words, "" when it gave none. */
  readonly reason: string;
  /** Name of the policy that refused, "" when allowed. */
  readonly name: string;
  readonly added_headers: readonly (readonly [name: string, value: string])[];
  readonly outcomes: readonly PolicyOutcome[];
  readonly logs: readonly PolicyLog[];
}
