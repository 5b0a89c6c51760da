/** Tenants' settings on a given Spine, with the log and the metrics of their process. Tests only. */
import { createMetrics, type Registry } from "../../../shared/metrics/metrics.ts";
import type { Spine } from "../../../shared/spine/contract/spine.ts";
import type { Logger } from "../../../shared/logs/log.ts";
import { keptLog, SPINE_NOW_MS } from "../../testing/spine.ts";
import { openSettings, type Settings } from "../settings.ts";

/** Settings that are in force, and what a capability beside them starts with. */
export interface TestSettings extends Disposable {
  readonly spine: Spine;
  readonly settings: Settings;
  readonly registry: Registry;
  readonly log: Logger;
  readonly lines: readonly string[];
  readonly now: () => number;
}

/** Opens them; closed when the scope ends. */
export async function settingsOn(spine: Spine): Promise<TestSettings> {
  const registry = createMetrics({ node_id: "s1", version: "0" });
  const { log, lines } = keptLog();
  const now = () => SPINE_NOW_MS;
  const settings = await openSettings({ spine, log, registry, now });
  await settings.ready;
  const close = () => settings.close();
  return { spine, settings, registry, log, lines, now, [Symbol.dispose]: close };
}
