/**
 * Starts what the other parts of a Shield are built on: settings of tenants, schemas, classes of rooms,
 * revocations, quotas, and the records of what happens. The parts that serve clients are `server.ts`.
 */
import { TenantTable } from "./stats/tenant_stats.ts";
import { connectionId } from "../shared/ids.ts";
import { openSettings } from "./settings/settings.ts";
import { startJournal } from "./journal/start.ts";
import { startLedger } from "./ledger/start.ts";
import { startMirror } from "./mirror/start.ts";
import { signatureDemands } from "./message/signature.ts";
import { startQuota } from "./quota/quota.ts";
import { startRevocations } from "./auth/revocations_start.ts";
import { startRoomClasses } from "./rooms/start.ts";
import { startSchemas } from "./schema/start.ts";
import { Lives } from "../shared/lives/lives.ts";
import { OwnLife } from "../shared/lives/own_life.ts";
import { steadyTime } from "../shared/spine/contract/log_clock.ts";
import { startUsage } from "./usage/start.ts";
import type { ShieldOptions } from "./server.ts";

const DAY_MS = 86_400_000;

/** Resolves once what tenants have set is known, and its schemas. Rejects with `spine-unavailable`. */
export async function openFoundation(options: ShieldOptions) {
  const { config, random } = options;
  const node_id = config.server.node_id ?? connectionId(random).replace(/^c/, "shield-");
  const settings = await openSettings(options);
  await settings.ready;
  const mirroring = startMirror({ ...options, settings, node_id });
  const { candidates } = mirroring;
  const log = options.registry_log;
  const schemas = await startSchemas({ ...options, settings, candidates, log });
  const rooms = startRoomClasses({ ...options, settings, node_id });
  const revocations = await startRevocations(options);
  const quota = await startQuota({
    ...options,
    settings,
    log: options.log.child({ part: "quota" }),
  });
  const tenants = new TenantTable();
  const mirror = mirroring.admin?.rules;
  const lives = new Lives(options.spine);
  const life = new OwnLife({ ...options, lives, node_id, kept_ms: keptMs(config) });
  // What it tells apart by time, it tells right when the wall clock is set.
  const noted = startLedger({ ...options, node_id, life, now: steadyTime(options) });
  const recorded = { node_id, life, classes: rooms.classes, settings };
  const journal = startJournal({ ...options, ...recorded, mirror });
  const usage = startUsage({ ...options, settings, node_id, life, classes: rooms.classes });
  const gate = usage?.gate(quota) ?? quota;
  const signatures = signatureDemands(config.auth, settings);
  return {
    node_id,
    /** What each tenant has done. */
    tenants,
    ...{ settings, mirroring, schemas, rooms, revocations, signatures, journal },
    /** Says of this Shield that it lives. */
    life,
    /** Undefined without `[quota]`. */
    quota,
    /** Budgets and quotas, as messages ask them; undefined: there are none. */
    gate,
    /** Undefined without `[ledger]`. */
    noted,
    /** Undefined without `[usage]`. */
    usage,
  };
}

/** Nothing that Shields write of what they did is kept for longer, in ms. */
function keptMs({ journal, usage, ledger }: ShieldOptions["config"]): number {
  return Math.max(
    DAY_MS * Math.max(journal.retention_days, usage.retention_days),
    1_000 * ledger.seconds,
  );
}
