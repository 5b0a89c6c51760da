/**
 * Starts the base parts of a Shield: settings of tenants, room classes, revocations, and the heartbeat; then
 * capabilities open their parts of the message path. `server.ts` assembles the parts that serve clients.
 */
import { connectionId } from "../shared/ids.ts";
import { Forwarding } from "./http/forwarding.ts";
import { Lives } from "../shared/lives/lives.ts";
import { StoreTime } from "../shared/spine/contract/store_time.ts";
import { OwnLife } from "../shared/lives/own_life.ts";
import { openRevocations } from "./auth/revocations.ts";
import { RunningCapabilities } from "./capability.ts";
import { FlushQueue } from "./connection/flush_queue.ts";
import { signatureDemands } from "./message/signature.ts";
import { startRoomClasses } from "./settings/room_classes.ts";
import { openSettings } from "./settings/settings.ts";
import { createStats, registerStats } from "./stats/stats.ts";
import { TenantTable } from "./stats/tenant_stats.ts";
import type { Ground, ShieldOptions } from "./capability.ts";

const DAY_MS = 86_400_000;

async function layGround(options: ShieldOptions): Promise<Ground> {
  const { config, random, spine } = options;
  const node_id = config.server.node_id ?? connectionId(random).replace(/^c/, "shield-");
  const ends = new AsyncDisposableStack();
  const settings = await openSettings(options);
  ends.defer(() => settings.close());
  await settings.ready;
  const stats = createStats();
  registerStats(stats, options.registry);
  const lives = new Lives(spine);
  const revocations = await openRevocations(options);
  const time = new StoreTime({ ...options, bucket: revocations.bucket });
  await time.ask();
  const rooms = startRoomClasses({ ...options, settings });
  ends.defer(() => rooms.close());
  const life = new OwnLife({ ...options, lives, node_id, kept_ms: keptMs(config) });
  // The heartbeat ends after all writers: other Shields then consider unwritten data lost.
  ends.defer(() => life.end());
  return {
    node_id,
    forwarding: new Forwarding(spine, node_id),
    settings,
    stats,
    tenants: new TenantTable(),
    flushes: new FlushQueue(spine),
    rooms,
    revocations,
    time,
    life,
    ends,
    signatures: signatureDemands(config.auth, settings),
    running: new RunningCapabilities(),
  };
}

/** Resolves once everything is loaded and open. Rejects with `spine-unavailable`. */
export async function openFoundation(options: ShieldOptions): Promise<Ground> {
  const ground = await layGround(options);
  ground.ends.defer(() => ground.running.closeOpened());
  await ground.running.open(options.capabilities, options, ground);
  return ground;
}

/** The longest retention of all that Shields record, in ms. */
function keptMs({ journal, usage, ledger }: ShieldOptions["config"]): number {
  return Math.max(
    DAY_MS * Math.max(journal.retention_days, usage.retention_days),
    1_000 * ledger.seconds,
  );
}
