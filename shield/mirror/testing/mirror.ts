/** A mirror of `mirror.ts` on an embedded engine, with access to its rules, settings and metrics. */
import { configFrom } from "../../../shared/config/load.ts";
import { sampleOf } from "../../../shared/testing/sample_of.ts";
import type { SpineMessage } from "../../../shared/spine/contract/spine_message.ts";
import { until } from "../../../shared/testing/until.ts";
import type { Settings } from "../../settings/settings.ts";
import { settingsOn } from "../../settings/testing/settings.ts";
import { type Ask, asking } from "../../admin/routing/testing/admin.ts";
import { listenToAll, testSpine } from "../../testing/spine.ts";
import type { TestSpine } from "../../testing/spine.ts";
import { MIRROR_ROUTES } from "../admin_api.ts";
import { type StartedMirror, startMirror } from "../mirror.ts";

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
  readonly ask: Ask;
}

/** Starts a mirror with these members of `[platform.mirroring]`. */
export async function testMirror(mirroring: Record<string, unknown> = {}): Promise<TestMirror> {
  const engine = testSpine();
  const { spine } = engine;
  const published = listenToAll(spine);
  const stored = await settingsOn(spine);
  const { settings, registry, lines } = stored;
  const config = configFrom({ platform: { mirroring } });
  const started = startMirror({ ...stored, config, node_id: "s1" });
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
    ask: asking(MIRROR_ROUTES, started.admin),
    async [Symbol.asyncDispose]() {
      await started.close();
      stored[Symbol.dispose]();
      await engine[Symbol.asyncDispose]();
    },
  };
}
