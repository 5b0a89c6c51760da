/**
 * Starts what the other parts of a Shield are built on: settings of tenants, classes of rooms, revocations, and the
 * life that others look at; then capabilities open what they put into the way of messages. The parts that serve clients
 * are `server.ts`.
 */
import { connectionId } from "../shared/ids.ts";
import { Forwarding } from "./http/forwarding.ts";
import { Lives } from "../shared/lives/lives.ts";
import { OwnLife } from "../shared/lives/own_life.ts";
import { startRevocations } from "./auth/revocations_start.ts";
import { RunningCapabilities } from "./capability.ts";
import { FlushQueue } from "./connection/flush_queue.ts";
import { signatureDemands } from "./message/signature.ts";
import { startRoomClasses } from "./rooms/start.ts";
import { openSettings } from "./settings/settings.ts";
import { createStats, registerStats } from "./stats/stats.ts";
import { TenantTable } from "./stats/tenant_stats.ts";
import type { ConfigReloading } from "../shared/config/live/reload.ts";
import type { Env } from "../shared/env.ts";
import type { Logger } from "../shared/logs/log.ts";
import type { Logging } from "../shared/logs/logging.ts";
import type { HealthCheck } from "../shared/listeners/ops.ts";
import type { Capability } from "./capability.ts";
import type { Tracing } from "../shared/telemetry/tracing.ts";

/** What a Shield needs from its process. */
export interface ShieldOptions
  extends Pick<Env, "config" | "spine" | "registry" | "log" | "now" | "monotonic_ms" | "random"> {
  /** What it has beside its kernel, in the order in which they start. */
  readonly capabilities: readonly Capability[];
  readonly version: string;
  /** Logger of component `overseer`. */
  readonly overseer_log: Logger;
  /** Logger of component `registry`. */
  readonly registry_log: Logger;
  /** Cores of the machine. */
  readonly cores: number;
  /** The process cannot go on: drain it and exit non-zero. */
  readonly onFatal: (detail: string) => void;
  /**
   * The process has no memory left: drain it in a hurry and start it anew; `at_once`: end it at once.
   */
  readonly onExhausted: (detail: string, at_once: boolean) => void;
  /** The logs of the process, whose levels an operator may change; absent: they stay. */
  readonly logging?: Pick<Logging, "levels" | "setLevel">;
  /** Reads the configuration again; absent: it stays as it is. */
  readonly reloading?: ConfigReloading | undefined;
  /** An operator drains this process: does what SIGTERM does. Absent: it cannot be. */
  readonly onDrain?: (by: string) => void;
  /** Whether the Spine stores what it is given, for readiness; absent: it is not asked. */
  readonly storage?: () => HealthCheck;
  /** Absent: nothing is traced. */
  readonly tracing?: Tracing | undefined;
  /** Reads key files, at start only. */
  readonly readTextFile: (path: string) => string;
  readonly fetch: typeof fetch;
}

const DAY_MS = 86_400_000;

/** What there is before the way of messages is put together. */
export type Ground = Awaited<ReturnType<typeof layGround>>;

async function layGround(options: ShieldOptions) {
  const { config, random, spine } = options;
  const node_id = config.server.node_id ?? connectionId(random).replace(/^c/, "shield-");
  const settings = await openSettings(options);
  await settings.ready;
  const stats = createStats();
  registerStats(stats, options.registry);
  const lives = new Lives(spine);
  return {
    node_id,
    forwarding: new Forwarding(spine, node_id),
    settings,
    stats,
    /** What each tenant has done. */
    tenants: new TenantTable(),
    flushes: new FlushQueue(spine),
    rooms: startRoomClasses({ ...options, settings, node_id }),
    revocations: await startRevocations(options),
    signatures: signatureDemands(config.auth, settings),
    /** Says of this Shield that it lives. */
    life: new OwnLife({ ...options, lives, node_id, kept_ms: keptMs(config) }),
    /** What the Shield has beside its kernel. */
    running: new RunningCapabilities(),
  };
}

/** Resolves once all of it is known and open. Rejects with `spine-unavailable`. */
export async function openFoundation(options: ShieldOptions): Promise<Ground> {
  const ground = await layGround(options);
  await ground.running.open(options.capabilities, options, ground);
  return ground;
}

/** Nothing that Shields write of what they did is kept for longer, in ms. */
function keptMs({ journal, usage, ledger }: ShieldOptions["config"]): number {
  return Math.max(
    DAY_MS * Math.max(journal.retention_days, usage.retention_days),
    1_000 * ledger.seconds,
  );
}
