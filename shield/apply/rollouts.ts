/**
 * The rollouts of all tenants on one Shield: it runs each as a canary, reports the decisions of both versions, and
 * makes the last step. Brains decide whether a rollout continues or is rolled back (`brain/rollouts/`).
 */
import { ArqonError } from "@arqon/proto";
import type { Env } from "../../shared/env.ts";
import { countedEnd, returned } from "../../shared/rollout/decision.ts";
import { decodeRollout, encodeRollout, isUnderWay, shareOf } from "../../shared/rollout/rollout.ts";
import { ROLLOUTS_BUCKET } from "../../shared/records/buckets.ts";
import type { Rollout, RolloutReport } from "../../shared/rollout/rollout.ts";
import type { StagedSchema } from "../../shared/records/bus_schemas.ts";
import { isConflict } from "../../shared/spine/contract/compare_and_set.ts";
import type { KeyValue, KvChange, KvWatch, Spine } from "../../shared/spine/contract/spine.ts";
import { inPieces, STRANGERS } from "../../shared/turns/slices.ts";
import { Policies } from "../policy/chain/chain.ts";
import type { CanaryProblem } from "../policy/chain/canary.ts";
import type { PolicyRegistry } from "../policy/chain/registry.ts";
import type { Applies } from "./applies.ts";
import { decisionOf, STATE_KINDS, type Wanted } from "./decision.ts";

/** How often a Shield reports its counts if they have changed, in ms. */
const REPORT_MS = 250;
/** How often it reports at least, as a heartbeat, in ms. */
const BEAT_MS = 2_000;
/** How long it waits before it retries the last step, in ms. */
const AGAIN_MS = 1_000;
/** Rollouts that are looked at in one piece; one of 64 policies takes 0.2 ms. */
const TENANTS_A_PIECE = 4;

/** What rollouts need of the process. */
export interface RolloutsOptions extends Pick<Env, "log" | "node_id" | "now"> {
  readonly spine: Pick<Spine, "keyValue">;
  readonly registry: Pick<PolicyRegistry, "setCanary" | "canaryOf" | "comparisons">;
  readonly applies: Pick<Applies, "apply" | "read">;
  /** Rejects if stored schemas can no longer be activated; absent if they are switched off. */
  readonly requireStaged?: (schemas: readonly StagedSchema[]) => Promise<void>;
}

/** A running rollout, as this Shield knows it. */
interface Known {
  rollout: Rollout;
  readonly problem: CanaryProblem | undefined;
  beat: number;
  /** The last report without its heartbeat time. */
  reported: string;
  reported_ms: number;
  is_writing: boolean;
  is_applying: boolean;
  /** Time of the last attempt to make the last step. */
  tried_ms: number;
}

class Rollouts {
  readonly #options: RolloutsOptions;
  /** Rollouts, and the reports of Shields. */
  readonly bucket: KeyValue;
  readonly #watch: KvWatch;
  readonly #known = new Map<string, Known>();
  readonly #timer: ReturnType<typeof setInterval>;
  #closed = false;
  #is_ticking = false;

  constructor(options: RolloutsOptions, bucket: KeyValue) {
    this.#options = options;
    this.bucket = bucket;
    this.#watch = bucket.watch([], (change) => this.#receive(change), { depth: 1 });
    this.#timer = setInterval(() => void this.#tick(), REPORT_MS);
  }

  close(): void {
    this.#closed = true;
    this.#watch.stop();
    clearInterval(this.#timer);
  }

  #receive({ key: [tenant_id = "", ...more], value }: KvChange): void {
    if (more.length > 0 || this.#closed) return;
    if (value === undefined) return this.#end(tenant_id);
    const decoded = decodeRollout(value);
    if ("problem" in decoded) {
      const { problem } = decoded;
      this.#options.log.error("a rollout cannot be read; the old state stays", {
        tenant_id,
        problem,
      });
      return this.#end(tenant_id);
    }
    if (!isUnderWay(decoded.value)) return this.#end(tenant_id);
    this.#run(tenant_id, decoded.value);
  }

  #run(tenant_id: string, rollout: Rollout): void {
    const before = this.#known.get(tenant_id);
    if (before?.rollout.id === rollout.id) before.rollout = rollout;
    else this.#known.set(tenant_id, knownOf(rollout));
    const policies = Policies.safeParse(rollout.policies).data;
    if (policies === undefined) return this.#options.registry.setCanary(tenant_id, undefined);
    const { id, stage, base_version } = rollout;
    const canary = { id, stage, share: shareOf(rollout), base_version, policies };
    this.#options.registry.setCanary(tenant_id, canary);
    this.#look(tenant_id, this.#known.get(tenant_id)!);
  }

  #end(tenant_id: string): void {
    this.#options.registry.setCanary(tenant_id, undefined);
    if (!this.#known.delete(tenant_id)) return;
    const { node_id, log } = this.#options;
    this.bucket.delete([tenant_id, node_id]).catch((error) => {
      // It is never read.
      log.debug("the report of a finished rollout could not be deleted", { tenant_id, error });
    });
  }

  /** In slices: a bus may roll out in a thousand tenants. */
  async #tick(): Promise<void> {
    if (this.#is_ticking) return;
    this.#is_ticking = true;
    await inPieces(STRANGERS, this.#lookAtAll(), TENANTS_A_PIECE);
    this.#is_ticking = false;
  }

  *#lookAtAll(): Generator<void> {
    for (const [tenant_id, known] of this.#known) {
      if (this.#closed) return;
      yield this.#look(tenant_id, known);
    }
  }

  #look(tenant_id: string, known: Known): void {
    if (!known.is_writing) void this.#say(tenant_id, known);
    const is_due = Math.abs(this.#options.now() - known.tried_ms) >= AGAIN_MS;
    if (known.rollout.state === "applying" && !known.is_applying && is_due) {
      void this.#finish(tenant_id, known);
    }
  }

  /** Stores the counts if they have changed or the heartbeat is due. */
  async #say(tenant_id: string, known: Known): Promise<void> {
    const { registry, node_id, log, now } = this.#options;
    const state = registry.canaryOf(tenant_id);
    const { id } = known.rollout;
    if (known.problem === undefined && state?.id !== id) return;
    const problem = known.problem ?? state?.problem;
    const tallies = problem === undefined ? registry.comparisons.tallies(tenant_id) : [];
    const stage = state?.stage ?? known.rollout.stage;
    const about = { id, stage, tallies, ...(problem && { problem: { ...problem } }) };
    const reported = JSON.stringify(about);
    const now_ms = now();
    const is_due = Math.abs(now_ms - known.reported_ms) >= BEAT_MS;
    if (reported === known.reported && !is_due) return;
    const report: RolloutReport = { ...about, beat: ++known.beat, at_ms: now_ms };
    known.is_writing = true;
    try {
      await this.bucket.put([tenant_id, node_id], encodeRollout(report));
      Object.assign(known, { reported, reported_ms: now_ms });
      // The rollout has ended, so the stored report is useless.
      if (this.#known.get(tenant_id) !== known) await this.bucket.delete([tenant_id, node_id]);
    } catch (error) {
      log.warn("the counts of a rollout could not be stored yet", { tenant_id, error });
    } finally {
      known.is_writing = false;
    }
  }

  /** Makes the last step, unless another Shield was faster; both have the same result. */
  async #finish(tenant_id: string, known: Known): Promise<void> {
    known.is_applying = true;
    try {
      await this.#lastStep(tenant_id, known.rollout);
    } catch (error) {
      this.#options.log.warn("the last step of a rollout is not made yet", { tenant_id, error });
    } finally {
      Object.assign(known, { is_applying: false, tried_ms: this.#options.now() });
    }
  }

  async #lastStep(tenant_id: string, rollout: Rollout): Promise<void> {
    const { applies, requireStaged, log, now } = this.#options;
    const { id, basis, by, schemas = [] } = rollout;
    const kinds = Object.fromEntries(STATE_KINDS.map((kind) => [kind, rollout[kind]]));
    const wanted: Wanted = { ...kinds, schemas };
    let why = "";
    try {
      // A Shield without schemas cannot make this step; another one will.
      if (schemas.length > 0 && requireStaged === undefined) return;
      await requireStaged?.(schemas);
      await applies.apply(tenant_id, basis, wanted, by, id);
    } catch (error) {
      if (!isFinal(error)) throw error;
      why = error.message;
    }
    const { policies: { document } } = await applies.read(tenant_id);
    const is_made = decisionOf(rollout, document) === "made";
    const entry = await this.bucket.get([tenant_id]);
    const decoded = entry === undefined ? undefined : decodeRollout(entry.value);
    if (entry === undefined || decoded === undefined || "problem" in decoded) return;
    if (decoded.value.id !== id || decoded.value.state !== "applying") return;
    const { tallies, samples } = countedEnd(decoded.value.counted ?? []);
    const more = is_made ? { tallies } : { tallies, samples };
    const ended = returned(decoded.value, now(), is_made ? "" : why, more);
    const next: Rollout = { ...ended, state: is_made ? "applied" : "returned" };
    await this.bucket.update([tenant_id], encodeRollout(next), entry.revision).catch((error) => {
      if (!isConflict(error)) throw error;
    });
    log.info("a rollout has ended", { tenant_id, rollout: id, state: next.state });
  }
}

/** Whether an apply has failed for good; every other error is retried. */
function isFinal(error: unknown): error is ArqonError {
  return error instanceof ArqonError &&
    ["settings-conflict", "invalid-policy", "invalid-settings", "schema-unavailable"]
      .includes(error.reason);
}

function knownOf(rollout: Rollout): Known {
  const is_valid = Policies.safeParse(rollout.policies).success;
  const problem = { kind: "refused", detail: "lacks a policy of the rollout" } as const;
  const writing = {
    beat: 0,
    reported: "",
    reported_ms: 0,
    is_writing: false,
    is_applying: false,
    tried_ms: 0,
  };
  return { rollout, problem: is_valid ? undefined : problem, ...writing };
}

/** Opens the bucket and starts the watch. Rejects with `spine-unavailable`. */
export async function openRollouts(
  options: RolloutsOptions,
): Promise<{ readonly bucket: KeyValue; close(): void }> {
  return new Rollouts(options, await options.spine.keyValue(ROLLOUTS_BUCKET));
}
