/** The metrics of rollouts at a Brain. Labels come from closed sets: no tenant is named. `service.ts` updates them. */
import { Counter, Gauge } from "../../shared/metrics/metrics.ts";
import type { Registry } from "../../shared/metrics/metrics.ts";
import { ROLLOUT_STATES } from "../../shared/rollout/rollout.ts";
import type { Rollout } from "../../shared/rollout/rollout.ts";

/** A Brain's metrics of rollouts. */
export interface RolloutMetrics {
  /** Counts a decision of this Brain that led to that document. */
  decided(next: Rollout): void;
  /** Counts a decision that could not be stored; a faster Brain is no failure. */
  failed(): void;
}

/** Registers them. `rollouts` returns the latest rollout of each tenant, and is called on a scrape. */
export function createRolloutMetrics(
  registry: Registry,
  rollouts: () => Iterable<Pick<Rollout, "state">>,
): RolloutMetrics {
  const registers = [registry];
  new Gauge({
    name: "brain_rollouts",
    help: "The latest rollout of each tenant, by its state. Every Brain says the same.",
    labelNames: ["state"],
    registers,
    collect() {
      for (const state of ROLLOUT_STATES) this.set({ state }, 0);
      for (const { state } of rollouts()) this.inc({ state });
    },
  });
  const decisions = new Counter({
    name: "brain_rollout_decisions_total",
    help: "Decisions about rollouts that this Brain has stored, by what was decided.",
    labelNames: ["outcome"],
    registers,
  });
  for (const outcome of ["step", "last-step", "returned"]) decisions.inc({ outcome }, 0);
  const failures = new Counter({
    name: "brain_rollout_write_failures_total",
    help: "Decisions about rollouts that could not be stored; they are made again.",
    registers,
  });
  return {
    decided({ state }) {
      const ends = state === "applying" ? "last-step" : "step";
      decisions.inc({ outcome: state === "returned" ? "returned" : ends });
    },
    failed: () => failures.inc(),
  };
}
