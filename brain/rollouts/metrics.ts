/** The metrics of rollouts at a Brain. Labels come from closed sets: no tenant is named. `service.ts` updates them. */
import { Gauge, metricsOn, type Registry } from "../../shared/metrics/metrics.ts";
import { type Rollout, ROLLOUT_STATES } from "../../shared/rollout/rollout.ts";

/** A Brain's metrics of rollouts. */
export type RolloutMetrics = ReturnType<typeof createRolloutMetrics>;

/** Registers them. `rollouts` returns the latest rollout of each tenant, and is called on a scrape. */
export function createRolloutMetrics(
  registry: Registry,
  rollouts: () => Iterable<Pick<Rollout, "state">>,
) {
  new Gauge({
    name: "brain_rollouts",
    help: "The latest rollout of each tenant, by its state. Every Brain says the same.",
    labelNames: ["state"],
    registers: [registry],
    collect() {
      for (const state of ROLLOUT_STATES) this.set({ state }, 0);
      for (const { state } of rollouts()) this.inc({ state });
    },
  });
  const { counter } = metricsOn(registry);
  const decisions = counter(
    "brain_rollout_decisions_total",
    "Decisions about rollouts that this Brain has stored, by what was decided.",
    "outcome",
  );
  for (const outcome of ["step", "last-step", "returned"]) decisions.inc({ outcome }, 0);
  const failures = counter(
    "brain_rollout_write_failures_total",
    "Decisions about rollouts that could not be stored; they are made again.",
  );
  return {
    /** Counts a decision of this Brain that led to that document. */
    decided({ state }: Pick<Rollout, "state">) {
      const ends = state === "applying" ? "last-step" : "step";
      decisions.inc({ outcome: state === "returned" ? "returned" : ends });
    },
    /** Counts a decision that could not be stored; a faster Brain is no failure. */
    failed: () => failures.inc(),
  };
}
