/**
 * Keyed state in the process: the values of a chain, their places, and the removal of expired values. The rules are in
 * `shield/policy/state/`.
 */
import type { Env } from "../../../shared/env.ts";
import type { Registry } from "prom-client";
import type { Config } from "../../../shared/config/schema.ts";
import { scraped } from "../../../shared/metrics/metrics.ts";
import { PlainHistogram, registerPlainHistogram } from "../../../shared/metrics/metrics_plain.ts";
import type { EvaluateRequest } from "../abi/policy.ts";
import { type ChainState, chainState } from "../state/declaration.ts";
import { KeyHolds } from "../state/key_holds.ts";
import { StateStore } from "../state/state_store.ts";
import type { Modules } from "./pool_modules.ts";

interface PoolStateOptions extends Pick<Env, "registry" | "now"> {
  readonly policy: Config["policy"];
}

const SWEEP_MS = 1_000;
const WAIT_SECONDS = [0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1];

function registerState(registry: Registry, store: StateStore): PlainHistogram {
  scraped(registry, {
    "shield_policy_state_entries": [
      "Values that policies keep between calls.",
      () => store.entries,
    ],
    "shield_policy_state_bytes": [
      "Bytes of these values and their keys.",
      () => store.bytes,
    ],
    "shield_policy_state_dropped_total": [
      "Values that were dropped early because there was no room.",
      () => store.dropped,
    ],
  });
  const waits = new PlainHistogram(WAIT_SECONDS);
  registerPlainHistogram(
    registry,
    "shield_policy_state_wait_seconds",
    "How long operations waited for a key of state that another worker held, in seconds.",
    waits,
  );
  return waits;
}

/** The keyed state of a pool, at first without values. */
export class PoolState {
  readonly store: StateStore;
  readonly holds: KeyHolds;
  readonly #modules: Pick<Modules, "find" | "stateful">;
  readonly #slotsOf = (sha256: string) => this.#modules.find(sha256)?.slots;
  readonly #sweep: ReturnType<typeof setInterval>;

  /** `onFreed` is called as a key is freed: requests that waited for it may go. */
  constructor(
    { policy, registry, now }: PoolStateOptions,
    modules: Pick<Modules, "find" | "stateful">,
    onFreed: () => void,
  ) {
    const store = this.store = new StateStore({
      tenant_entries: policy.state_tenant_entries,
      tenant_bytes: policy.state_tenant_bytes,
      entries: policy.state_entries,
      bytes: policy.state_bytes,
    });
    const waits = registerState(registry, store);
    const onWaited = (waited_ms: number) => waits.observe(waited_ms / 1_000);
    this.#modules = modules;
    this.holds = new KeyHolds({ store, now, onFreed, onWaited });
    this.#sweep = setInterval(() => store.sweep(now()), SWEEP_MS);
    Deno.unrefTimer(this.#sweep);
  }

  /** The places of the values that a request's chain uses; undefined if it uses none. */
  of(request: EvaluateRequest): ChainState | undefined {
    return this.#modules.stateful === 0 ? undefined : chainState(request, this.#slotsOf);
  }

  end(): void {
    clearInterval(this.#sweep);
  }
}
