/**
 * The Brain without its process: presence, rooms and the tap on a Spine that is handed in, so that
 * `deno task dev` runs it beside a Shield. Listeners: `listeners.ts`; arguments, files, signals:
 * `main.ts`.
 */
import type { Config } from "../shared/config/schema.ts";
import type { Logger } from "../shared/log.ts";
import type { Logging } from "../shared/logging.ts";
import type { Registry } from "../shared/metrics.ts";
import type { HealthCheck, HealthReport } from "../shared/ops.ts";
import type { Spine, Subscription } from "../shared/spine/spine.ts";
import { ALL_TAPPED } from "../shared/subject.ts";
import type { Tracing } from "../shared/telemetry/tracing.ts";
import { plural } from "../shared/plural.ts";
import { startInspect } from "./inspect.ts";
import { createBrainMetrics } from "./metrics.ts";
import type { BrainMetrics } from "./metrics.ts";
import { startBrainPresence } from "./presence/service.ts";
import { startRooms } from "./rooms/service.ts";
import { createTap } from "./tap.ts";

/** What a Brain needs from its process. */
export interface BrainOptions {
  readonly config: Pick<Config, "server" | "brain" | "limits" | "presence">;
  readonly spine: Spine;
  /** Of component `brain`. */
  readonly log: Logger;
  readonly registry: Registry;
  /** Unix ms. */
  readonly now: () => number;
  /** In [0, 1): spreads the retries of Brains that race for one room. */
  readonly random: () => number;
  /** Absent: nothing is traced. */
  readonly tracing?: Tracing | undefined;
  /** Absent: from `[server] node_id`, else random. */
  readonly brain_id?: string;
  /** The release, for operators; absent: "". */
  readonly version?: string;
  /** The logs of the process, whose levels an operator may change; absent: they stay. */
  readonly logging?: Pick<Logging, "levels" | "setLevel">;
  /** An operator drains this process: does what SIGTERM does. Absent: it cannot be. */
  readonly onDrain?: (by: string) => void;
}

/** A running Brain. */
export interface Brain {
  readonly brain_id: string;
  /** Ready when the Spine is connected, presence is read and the Brain is not draining. */
  health(): HealthReport;
  /**
   * Tells the other Brains, which take over; takes no new command, answers those it has, then
   * resolves. Leaves the Spine open. Idempotent.
   */
  drain(): Promise<void>;
}

/** All Brains share the work: each message goes to one of them. */
const QUEUE = "brain";

function startTap(options: BrainOptions, metrics: BrainMetrics): Subscription | undefined {
  const fraction = Number(options.config.brain.tap);
  if (fraction === 0) return undefined;
  const { spine, log, tracing } = options;
  const tap = createTap({ fraction, log, metrics, tracing, spine });
  return spine.subscribe(ALL_TAPPED, tap, { queue: QUEUE, reads_only: true });
}

function spineCheck({ status }: Spine): HealthCheck {
  const server = status.server === undefined ? "" : ` ${status.server}`;
  return {
    ok: status.state === "connected",
    since_ms: status.since_ms,
    detail: `${status.engine}${server} ${status.state}, ${plural(status.reconnects, "reconnect")}`,
  };
}

/**
 * Resolves once the Brain knows who is there and takes commands. Rejects with `spine-unavailable`
 * when it cannot subscribe, or a bucket cannot be opened or read.
 */
export async function startBrain(options: BrainOptions): Promise<Brain> {
  const { spine, now } = options;
  const metrics = createBrainMetrics(options.registry);
  const presence = await startBrainPresence(options);
  const rooms = await startRooms({ ...options, view: presence, metrics }).catch(async (error) => {
    await presence.drain();
    throw error;
  });
  const tap = startTap(options, metrics);
  const started_ms = now();
  let since_ms = started_ms;
  let drained: Promise<void> | undefined;

  const drain = async (): Promise<void> => {
    since_ms = now();
    // First: what the others hear of now goes to them and not here.
    await presence.drain();
    tap?.unsubscribe();
    await rooms.drain();
    inspect.close();
  };
  const health = () => {
    const draining = drained !== undefined;
    const commands = { ok: !draining, since_ms, detail: draining ? "draining" : "serving" };
    return { checks: { spine: spineCheck(spine), presence: presence.health(), commands } };
  };
  const inspect = startInspect({
    version: "",
    ...options,
    view: presence,
    metrics,
    started_ms,
    checks: () => health().checks,
    isDraining: () => drained !== undefined,
    documentOf: rooms.documentOf,
  });
  return {
    brain_id: presence.brain_id,
    health,
    drain: () => drained ??= drain(),
  };
}
