/** The plan capability of a Brain. */
import type { BrainCapability } from "../capability.ts";
import type { Env } from "../../shared/env.ts";
import { decide } from "../../shared/rollout/decision.ts";
import {
  decodeReport,
  decodeRollout,
  encodeRollout,
  FRESH_MS,
  isUnderWay,
  ROLLOUT_STATES,
} from "../../shared/rollout/rollout.ts";
import type { Rollout, RolloutReport } from "../../shared/rollout/rollout.ts";
import { ROLLOUTS_BUCKET } from "../../shared/records/buckets.ts";
import { isConflict } from "../../shared/spine/contract/compare_and_set.ts";
import type { KeyValue, KvChange, KvWatch, Spine } from "../../shared/spine/contract/spine.ts";
import { inPieces, STRANGERS } from "../../shared/turns/slices.ts";
import { Gauge, metricsOn, type Registry } from "../../shared/metrics/metrics.ts";

/** Rollouts of a tenant's state, which proceed or roll back by the reports of Shields. */
export const PLAN: BrainCapability = {
  name: "plan",
  title: "rollouts of a tenant's state, which go on or back by what Shields report",
  async start(env) {
    const rollouts = await startRollouts(env);
    return { drain: () => Promise.resolve(rollouts.close()) };
  },
};

/** Interval between checks of rollouts without a change, in ms. */
const TICK_MS = 500;
/** Tenants that are looked at in one piece. */
const TENANTS_A_PIECE = 4;

/** The Brain's parts that rollouts need. */
interface RolloutServiceOptions extends Pick<Env, "registry" | "log" | "now" | "monotonic_ms"> {
  readonly spine: Pick<Spine, "keyValue">;
}

interface Received {
  readonly report: RolloutReport;
  readonly revision: number;
  /** Monotonic ms; undefined: it is older than this Brain, so its age is unknown. */
  readonly received_ms: number | undefined;
  /** Whether it is being removed. */
  is_swept: boolean;
}

/** One tenant's known rollout. */
interface Known {
  rollout: Rollout | undefined;
  revision: number;
  readonly reports: Map<string, Received>;
  /** Since when it is at its stage with continuous reports; monotonic ms. */
  held_from_ms: number;
  is_writing: boolean;
}

class RolloutService {
  /** Resolves when all stored rollouts are known; rejects with `spine-unavailable` if it ends first. */
  readonly ready: Promise<void>;
  readonly #options: RolloutServiceOptions;
  readonly #bucket: KeyValue;
  readonly #watch: KvWatch;
  readonly #tenants = new Map<string, Known>();
  readonly #metrics: RolloutMetrics;
  readonly #timer: ReturnType<typeof setInterval>;
  #is_ready = false;
  #is_ticking = false;
  #is_closed = false;

  constructor(options: RolloutServiceOptions, bucket: KeyValue) {
    this.#options = options;
    this.#bucket = bucket;
    this.#metrics = createRolloutMetrics(options.registry, () => this.#latest());
    this.#watch = bucket.watch([], (change) => this.#receive(change));
    this.ready = this.#watch.ready.then(() => void (this.#is_ready = true));
    this.#timer = setInterval(() => void this.#tick(), TICK_MS);
  }

  close(): void {
    this.#is_closed = true;
    this.#watch.stop();
    clearInterval(this.#timer);
  }

  /** In slices: a bus may roll out in a thousand tenants, and has as many reports of each as Shields. */
  async #tick(): Promise<void> {
    if (this.#is_ticking) return;
    this.#is_ticking = true;
    await inPieces(STRANGERS, this.#lookAtAll(), TENANTS_A_PIECE);
    this.#is_ticking = false;
  }

  *#lookAtAll(): Generator<void> {
    for (const [tenant_id, known] of this.#tenants) {
      if (this.#is_closed) return;
      this.#decide(tenant_id, known);
      yield this.#sweep(tenant_id, known);
    }
  }

  #receive({ key: [tenant_id = "", node_id], value, revision }: KvChange): void {
    const known = this.#of(tenant_id);
    if (node_id === undefined) this.#onRollout(known, tenant_id, value, revision);
    else this.#onReport(known, node_id, value, revision);
    if (this.#is_ready) this.#decide(tenant_id, known);
  }

  #onRollout(known: Known, tenant_id: string, value: Uint8Array | undefined, revision: number) {
    const decoded = value === undefined ? undefined : decodeRollout(value);
    this.#take(known, decoded && "value" in decoded ? decoded.value : undefined, revision);
    if (decoded === undefined || "value" in decoded) return;
    const { problem } = decoded;
    this.#options.log.error("a rollout cannot be read", { tenant_id, problem });
  }

  /** The hold time restarts with each stage, and after a pause. */
  #take(known: Known, rollout: Rollout | undefined, revision: number): void {
    const { rollout: before } = known;
    const is_held = before?.id === rollout?.id && before?.stage === rollout?.stage &&
      before?.state === rollout?.state && before?.stage_ms === rollout?.stage_ms;
    if (!is_held) known.held_from_ms = this.#options.monotonic_ms();
    Object.assign(known, { rollout, revision });
  }

  #onReport(known: Known, node_id: string, value: Uint8Array | undefined, revision: number): void {
    const { reports } = known;
    const decoded = value === undefined ? undefined : decodeReport(value);
    if (decoded === undefined || "problem" in decoded) return void reports.delete(node_id);
    const received_ms = this.#is_ready ? this.#options.monotonic_ms() : undefined;
    const before = [...reports.values()].map((one) => one.received_ms ?? 0);
    const last_ms = Math.max(0, ...before);
    // After a gap in the reports the hold time so far does not count. A Brain that has just started knows of no gap.
    const is_gap = last_ms > 0 && received_ms !== undefined && received_ms - last_ms > FRESH_MS;
    if (is_gap) known.held_from_ms = received_ms;
    reports.set(node_id, { report: decoded.value, revision, received_ms, is_swept: false });
  }

  #of(tenant_id: string): Known {
    const nothing = { rollout: undefined, revision: 0, held_from_ms: 0 };
    return this.#tenants.getOrInsertComputed(
      tenant_id,
      () => ({ ...nothing, reports: new Map(), is_writing: false }),
    );
  }

  #latest(): Rollout[] {
    return [...this.#tenants.values()].flatMap(({ rollout }) => rollout ?? []);
  }

  #decide(tenant_id: string, known: Known): void {
    const { rollout, revision } = known;
    if (rollout === undefined || known.is_writing || !this.#is_ready) return;
    const now_ms = this.#options.now();
    const decision = decide(rollout, this.#seen(known), now_ms);
    if ("next" in decision) void this.#write(tenant_id, known, decision.next, revision);
  }

  /** Removes the reports of Shields on a finished rollout, because a dead Shield cannot. */
  #sweep(tenant_id: string, { rollout, reports }: Known): void {
    if (!this.#is_ready || (rollout !== undefined && isUnderWay(rollout))) return;
    for (const [node_id, report] of reports) {
      if (report.is_swept) continue;
      report.is_swept = true;
      // The watch reports the deletion. Until then it stays known, so that a failure is retried.
      this.#bucket.delete([tenant_id, node_id], report.revision).catch((error) => {
        report.is_swept = false;
        this.#options.log.warn("the report of a finished rollout could not be deleted yet", {
          tenant_id,
          error,
        });
      });
    }
  }

  #seen(known: Known) {
    const oldest_ms = this.#options.monotonic_ms() - FRESH_MS;
    const fresh = new Set<string>();
    for (const [node_id, { received_ms }] of known.reports) {
      if (received_ms !== undefined && received_ms >= oldest_ms) fresh.add(node_id);
    }
    const reports = new Map([...known.reports].map(([node_id, { report }]) => [node_id, report]));
    return { reports, fresh, held_ms: this.#options.monotonic_ms() - known.held_from_ms };
  }

  async #write(tenant_id: string, known: Known, next: Rollout, revision: number): Promise<void> {
    const { log } = this.#options;
    known.is_writing = true;
    try {
      const written = await this.#bucket.update([tenant_id], encodeRollout(next), revision);
      // The watch may be slower: the rollout must not be decided twice meanwhile.
      if (known.revision === revision) this.#take(known, next, written);
      this.#metrics.decided(next);
      const { id, state, stage, shares, ended } = next;
      const about = { tenant_id, rollout: id, state, share: shares[stage] };
      if (state === "returned") log.warn("a rollout was taken back", { ...about, ...ended });
      else log.info("a rollout goes on", about);
    } catch (error) {
      // Another Brain was faster, or there was an order: the watch delivers the new state.
      if (!isConflict(error)) {
        this.#metrics.failed();
        log.warn("a rollout waits: it cannot be stored", { tenant_id, error });
      }
    } finally {
      known.is_writing = false;
    }
  }
}

/** Opens the bucket and starts; resolves once the stored rollouts are known. Rejects with `spine-unavailable`. */
export async function startRollouts(options: RolloutServiceOptions): Promise<{ close(): void }> {
  const service = new RolloutService(options, await options.spine.keyValue(ROLLOUTS_BUCKET));
  await service.ready.catch((error) => {
    service.close();
    throw error;
  });
  return service;
}

/** A Brain's metrics of rollouts. */
type RolloutMetrics = ReturnType<typeof createRolloutMetrics>;

/** Registers them. `rollouts` returns the latest rollout of each tenant, and is called on a scrape. */
function createRolloutMetrics(
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
