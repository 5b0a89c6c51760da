/** The metrics of rooms with reducers. Labels come from closed sets. */
import { metricsOn, scraped } from "../../shared/metrics/metrics.ts";
import type { Counter, Registry } from "../../shared/metrics/metrics.ts";
import type { Breakers } from "../../shared/rates/breaker.ts";

/** Read when metrics are collected. */
interface ReducerGauges {
  readonly rooms: () => number;
  readonly bytes: () => number;
  readonly waiting: () => number;
  /** Requests that the thread has not answered. */
  readonly asked: () => number;
  readonly slow_tenants: () => number;
  readonly cut_off: () => number;
  readonly breakers: Pick<Breakers, "senders" | "senders_dropped">;
}

/** Metrics of unused modules. */
export interface RemovalMetrics {
  /** Counts known to the Brain that removes modules. */
  readonly modules: (count: { readonly stored: number; readonly unused: number }) => void;
  /** `outcome`: removed, or unsure if it is unknown which modules are needed. */
  readonly removals: Counter<"outcome">;
}

/** Registers the metrics of unused modules. */
export function createRemovalMetrics(registry: Registry): RemovalMetrics {
  const { counter, gauge } = metricsOn(registry);
  const modules = gauge(
    "brain_reducer_modules",
    "Modules of reducers that are stored, and those of them that nobody needs any more.",
    "state",
  );
  return {
    modules({ stored, unused }) {
      modules.set({ state: "stored" }, stored);
      modules.set({ state: "unused" }, unused);
    },
    removals: counter(
      "brain_reducer_removals_total",
      "Modules of reducers that were removed, and looks that could not say which may be.",
      "outcome",
    ),
  };
}

/** Deployed modules that this Brain loaded. `outcome`: loaded, failed, or held while its tenant owes fuel. */
export const createDeployMetric = (registry: Registry): Counter<"outcome"> =>
  metricsOn(registry).counter(
    "brain_reducer_deploys_total",
    "Modules that were deployed and that this Brain tried to load, by outcome.",
    "outcome",
  );

/** Fuel used by reducers. */
export const createFuelMetric = (registry: Registry): Counter =>
  metricsOn(registry).counter(
    "brain_reducer_fuel_total",
    "Fuel that rooms with reducers have used, with what this Brain does around their commands.",
  );

function registerGauges(registry: Registry, gauges: ReducerGauges): void {
  scraped(registry, {
    "brain_reducer_rooms": ["Rooms with reducers in this Brain's memory.", gauges.rooms],
    "brain_reducer_state_bytes": ["Bytes of the states of those rooms.", gauges.bytes],
    "brain_reducer_waiting": ["Calls that wait for their room's reducer.", gauges.waiting],
    "brain_reducer_thread_requests": [
      "Requests to the thread that runs reducers that are not answered.",
      gauges.asked,
    ],
    "brain_reducer_slow_tenants": [
      "Tenants whose commands run long: one of them has the thread that runs reducers at a time.",
      gauges.slow_tenants,
    ],
    "brain_reducer_open_breakers": [
      "Rooms that are cut off because their reducer keeps failing.",
      gauges.cut_off,
    ],
    "brain_reducer_failing_senders": [
      "Users that are remembered because their calls made a reducer fail; each further fault slows them.",
      () => gauges.breakers.senders,
    ],
    "brain_reducer_failing_senders_dropped_total": [
      "Such users that were forgotten before their time, because there were too many.",
      () => gauges.breakers.senders_dropped,
    ],
  });
}

/** The metrics, by what they measure. */
export type ReducerMetrics = ReturnType<typeof createReducerMetrics>;

/** Registers the metrics; gauges are read at a scrape. */
export function createReducerMetrics(registry: Registry, gauges: ReducerGauges) {
  const { counter } = metricsOn(registry);
  registerGauges(registry, gauges);
  return {
    thread_ends: counter(
      "brain_reducer_thread_ends_total",
      "How often the thread that runs reducers died; another one has read its rooms again.",
    ),
    timers_set_aside: counter(
      "brain_reducer_timers_set_aside_total",
      "Rooms whose timers do not run: two processes died while they ran the first of them.",
    ),
    timers_held: counter(
      "brain_reducer_timers_held_total",
      "How often a timer that was due waited: for its room's 100 a second, its tenant's fuel or budget.",
    ),
    // `verdict`: applied, rejected, fault or repeated.
    entries: counter(
      "brain_reducer_entries_total",
      "Entries of logs of rooms with reducers that this Brain appended, by verdict.",
      "verdict",
    ),
    events: counter("brain_reducer_events_total", "Events of reducers that this Brain published."),
    // `outcome`: loaded or failed.
    loads: counter(
      "brain_reducer_loads_total",
      "How often a room with a reducer was read from its snapshot and log, by outcome.",
      "outcome",
    ),
    // `outcome`: stored or failed.
    snapshots: counter(
      "brain_reducer_snapshots_total",
      "Snapshots of rooms with reducers, by outcome.",
      "outcome",
    ),
    conflicts: counter(
      "brain_reducer_conflicts_total",
      "How often another Brain had written a room's log first; the room is read again.",
    ),
    value_messages: counter(
      "brain_reducer_value_messages_total",
      "Messages with changes of visible values of rooms with reducers that this Brain published.",
    ),
    pages: counter(
      "brain_reducer_value_pages_total",
      "Pages of visible values of rooms with reducers that were read from this Brain.",
    ),
    refused: counter(
      "brain_reducer_refused_total",
      "Calls that were refused because of a limit of this Brain, the tenant's fuel included.",
    ),
    forbidden: counter(
      "brain_reducer_forbidden_total",
      "Calls that the schema of their room's program forbids.",
    ),
    // `fault`: breaker-open or sender-slowed.
    held: counter(
      "brain_reducer_held_total",
      "Calls that were refused, and looks at timers that wait, because a reducer keeps failing.",
      "fault",
    ),
    // `outcome`: taken, migrated or refused.
    switches: counter(
      "brain_reducer_switches_total",
      "Rooms in which another program came into force, or could not, by outcome.",
      "outcome",
    ),
  };
}
