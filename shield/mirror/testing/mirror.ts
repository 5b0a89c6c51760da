/** A mirror of `start.ts` on an embedded engine, with access to its rules, settings and metrics. */
import { configFrom } from "../../../shared/config/load.ts";
import { createMetrics } from "../../../shared/metrics/metrics.ts";
import { sampleOf } from "../../../shared/testing/sample_of.ts";
import type { SpineMessage } from "../../../shared/spine/contract/spine_message.ts";
import { until } from "../../../shared/testing/until.ts";
import type { Admin } from "../../admin/routing/admin_scope.ts";
import { openSettings, type Settings } from "../../settings/settings.ts";
import { adminRequest, askJson } from "../../admin/routing/testing/admin.ts";
import { keptLog, listenToAll, SPINE_NOW_MS, testSpine } from "../../testing/spine.ts";
import type { TestSpine } from "../../testing/spine.ts";
import { MIRROR_ROUTES } from "../admin_api.ts";
import { type StartedMirror, startMirror } from "../start.ts";

/** A running mirror for a test. */
export interface TestMirror extends AsyncDisposable {
  readonly engine: TestSpine;
  readonly settings: Settings;
  readonly started: StartedMirror;
  /** All messages on the Spine, shadow or not. */
  readonly published: readonly SpineMessage[];
  readonly lines: readonly string[];
  /** The messages on shadow subjects, after the mirror has sent everything. */
  shadows(): Promise<SpineMessage[]>;
  metric(series: string): Promise<number>;
  /** One request of an admin, an operator unless another one is given, answered by status and JSON. */
  // deno-lint-ignore no-explicit-any -- the tests say what is in it
  ask(m: string, path: string, body?: unknown, as?: Admin): Promise<{ status: number; body: any }>;
}

/** Starts a mirror with these members of `[platform.mirroring]`. */
export async function testMirror(mirroring: Record<string, unknown> = {}): Promise<TestMirror> {
  const engine = testSpine();
  const { spine } = engine;
  const published = listenToAll(spine);
  const registry = createMetrics({ node_id: "s1", version: "0" });
  const { log, lines } = keptLog();
  const shared = { spine, log, registry, now: () => SPINE_NOW_MS };
  const settings = await openSettings(shared);
  await settings.ready;
  const config = configFrom({ platform: { mirroring } });
  const started = startMirror({ ...shared, config, settings, node_id: "s1" });
  const metric = (series: string) => sampleOf(registry, series);
  return {
    engine,
    settings,
    started,
    published,
    lines,
    metric,
    async shadows() {
      const buffered = () => metric("shield_mirror_buffered_messages");
      await until("nothing is buffered", async () => await buffered() === 0);
      await spine.flush();
      return published.filter(({ subject }) => subject.startsWith("shadow.in."));
    },
    ask: (method, path, body, as) =>
      askJson(MIRROR_ROUTES, started.admin, adminRequest(method, path, body), as),
    async [Symbol.asyncDispose]() {
      await started.close();
      settings.close();
      await engine[Symbol.asyncDispose]();
    },
  };
}
