/** Bans of one process on a given Spine, with everything that a test reads. Tests only. */
import { banKey, BANS_BUCKET, encodeBan, EVERY_ROOM } from "../../../shared/records/bans.ts";
import type { Ban } from "../../../shared/records/bans.ts";
import { Collected } from "../../../shared/spine/testing/conformance.ts";
import type { KeyValue, Spine } from "../../../shared/spine/contract/spine.ts";
import { Bans } from "../bans.ts";
import type { ArrivedBan } from "../ban_table.ts";
import { createStats, type ShieldStats } from "../../stats/stats.ts";
import { keptLog, SPINE_NOW_MS } from "../../testing/spine.ts";

/** Watching from the start; closed when the scope ends. */
export interface TestBans extends Disposable {
  readonly bans: Bans;
  readonly bucket: KeyValue;
  readonly stats: ShieldStats;
  /** Every reported ban, in order. */
  readonly arrived: Collected<ArrivedBan>;
  readonly lines: readonly string[];
  /** Unix ms; a test moves it. */
  readonly clock: { now_ms: number };
}

/** A ban of `ann` from the whole tenant, without an end, unless `change` overrides that. */
export function banOf(change: Partial<Ban> = {}): Ban {
  return {
    user_id: "ann",
    room_id: EVERY_ROOM,
    until_ms: 0,
    reason: "",
    by: "moderator",
    created_ms: SPINE_NOW_MS,
    ...change,
  };
}

/** Stores it as a Brain does. */
export async function putBan(bucket: KeyValue, tenant_id: string, ban: Ban): Promise<void> {
  await bucket.put(banKey(tenant_id, ban.room_id, ban.user_id), encodeBan(ban));
}

/** Opens the bucket and starts to watch; the test awaits `bans.ready`. */
export async function testBans(
  spine: Spine,
  bans_max = 1_000,
  onBan: (ban: ArrivedBan) => void = () => {},
): Promise<TestBans> {
  const { log, lines } = keptLog();
  const clock = { now_ms: SPINE_NOW_MS };
  const stats = createStats();
  const bucket = await spine.keyValue(BANS_BUCKET);
  const now = () => clock.now_ms;
  const monotonic_ms = () => performance.now();
  const bans = new Bans({ bucket, spine, stats, log, now, monotonic_ms, bans_max });
  const arrived = new Collected<ArrivedBan>();
  bans.start((ban) => {
    arrived.add(ban);
    onBan(ban);
  });
  return { bans, bucket, stats, arrived, lines, clock, [Symbol.dispose]: () => bans.close() };
}
