/** Removal of modules with a clock that the test moves. For tests only; stores and logs are real. */
import { QUIET } from "../../../shared/testing/logs.ts";
import { createMetrics } from "../../../shared/metrics/metrics.ts";
import { DEPLOYMENTS_BUCKET } from "../../../shared/records/reducer_deployment.ts";
import { REDUCER_OBJECTS, REDUCERS_BUCKET } from "../../../shared/records/reducer_record.ts";
import { createRemovalMetrics } from "../metrics.ts";
import { ModuleRemoval, type ModuleRemovalOptions, SETTLE_MS } from "../removal/module_removal.ts";
import type { WorldBrain } from "./reducer_world.ts";

const RETENTION = { history_size: 10_000, history_ttl_seconds: 604_800, replicas: undefined };
/** A module that is unused for so long is removed. */
export const HOUR_MS = 3_600_000;

/** A removal with its own clock. */
export class Remover {
  now_ms = 0;
  readonly removal: ModuleRemoval;

  private constructor(options: ModuleRemovalOptions) {
    this.removal = new ModuleRemoval({ ...options, monotonic_ms: () => this.now_ms });
  }

  static async open(
    { spine }: Pick<WorldBrain, "spine">,
    configured: string[] = [],
    change: (options: ModuleRemovalOptions) => ModuleRemovalOptions = (options) => options,
  ): Promise<Remover> {
    return new Remover(change({
      records: await spine.keyValue(REDUCERS_BUCKET),
      deployments: await spine.keyValue(DEPLOYMENTS_BUCKET),
      objects: await spine.objects(REDUCER_OBJECTS),
      openLog: (tenant_id) => spine.log(tenant_id, RETENTION),
      configured: () => configured,
      owns: () => true,
      unused_ms: HOUR_MS,
      metrics: createRemovalMetrics(createMetrics({ node_id: "remover", version: "0" })),
      log: QUIET,
      monotonic_ms: () => 0,
    }));
  }

  /** Runs a pass after this time. */
  async after(ms: number): Promise<void> {
    this.now_ms += ms;
    await this.removal.look();
  }

  /** Runs as many passes as removing every unused module takes. */
  async all(): Promise<void> {
    await this.after(HOUR_MS);
    await this.after(HOUR_MS);
    await this.after(SETTLE_MS);
  }
}
