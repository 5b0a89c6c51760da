/**
 * Measures the time from a change's stamp at a Shield until the Brain that owns its room has merged and
 * published it, under a constant rate of changes. Every room changes so rarely that its owner publishes at
 * once, and a listener hears of the merge one hop later. Leaves carry no stamp.
 */
import { decodeMessage } from "../../shared/presence/wire.ts";
import type { MemberInput } from "../../shared/presence/types.ts";
import { subjectPattern } from "../../shared/subjects/subject.ts";
import { type Scrape, until } from "../measure/brains.ts";
import { delaysOf } from "../measure/statistics.ts";
import { type PresenceCluster, SHIELDS } from "./presence_cluster.ts";
import { membersOf, newTenant, roomsMade } from "./presence_rounds.ts";
import { newMember } from "./presence_shields.ts";

/** The plan of the changes. */
export interface LagPlan {
  /** Changes per second of all Shields together. */
  readonly rate: number;
  readonly seconds: number;
}

/** The result of the measurement. */
export interface LagReport extends LagPlan {
  readonly changes: number;
  /** Joins and updates that were heard of, and those that were made. */
  readonly heard: number;
  readonly stamped: number;
  readonly p50_ms: number;
  readonly p99_ms: number;
  readonly max_ms: number;
  /** Joins and updates merged within each time, by `consistency_convergence_seconds` of all three Brains. */
  readonly merged_within: Readonly<Record<string, number>>;
  /** Largest lateness of this load; a change is stamped when it is made. */
  readonly late_ms: number;
}

/**
 * Rooms with one member each, in which changes take turns; at 1,000 changes per second a turn takes two
 * seconds.
 */
const ROOMS = 2_000;
const TICK_MS = 1;
const METRIC = "consistency_convergence_seconds";
/** Buckets of that metric which are shown, in seconds. */
const WITHIN_SECONDS = ["0.05", "0.1", "0.25"];

const tick = () => new Promise((resolve) => setTimeout(resolve, TICK_MS));

/** Makes joins, updates and leaves of a second member of each room, in turns. */
function changer({ shields }: PresenceCluster, tenant_id: string) {
  const guests: MemberInput[] = [];
  /** Returns true for a change that carries a stamp. */
  return (index: number): boolean => {
    const room = index % ROOMS;
    const { presence } = shields[room % SHIELDS]!;
    const turn = Math.floor(index / ROOMS) % 3;
    if (turn === 0) guests[room] = newMember(tenant_id, `room-${room}`, index);
    const guest = guests[room]!;
    if (turn === 0) presence.join(guest);
    else if (turn === 1) presence.join({ ...guest, meta: `{"name":"guest ${index}"}` });
    else presence.leave(tenant_id, guest.room_id, guest.connection_id, true);
    return turn !== 2;
  };
}

async function send(
  { rate, seconds }: LagPlan,
  change: (index: number) => boolean,
): Promise<{ stamped: number; late_ms: number }> {
  const start_ms = performance.now();
  let stamped = 0;
  let late_ms = 0;
  for (let sent = 0; sent < rate * seconds;) {
    const now_ms = performance.now();
    for (; sent < rate * seconds; sent++) {
      const due_ms = start_ms + sent * 1_000 / rate;
      if (due_ms > now_ms) break;
      late_ms = Math.max(late_ms, now_ms - due_ms);
      if (change(sent)) stamped++;
    }
    await tick();
  }
  return { stamped, late_ms };
}

function scrapes({ running }: PresenceCluster): Promise<Scrape[]> {
  return Promise.all(running.brains.map(({ metrics }) => metrics()));
}

/** The shares of what was merged between two readings, by bucket. */
function mergedWithin(
  before: readonly Scrape[],
  after: readonly Scrape[],
): Record<string, number> {
  const grown = (name: string, label?: string) =>
    after.reduce((sum, scrape) => sum + scrape.sum(name, label), 0) -
    before.reduce((sum, scrape) => sum + scrape.sum(name, label), 0);
  const merged = grown(`${METRIC}_count`);
  return Object.fromEntries(
    WITHIN_SECONDS.map((seconds) => [
      `${Number(seconds) * 1_000} ms`,
      grown(`${METRIC}_bucket`, `le="${seconds}"`) / merged,
    ]),
  );
}

/** Measures on a cluster that is otherwise empty. It leaves members behind. */
export async function measureLag(cluster: PresenceCluster, plan: LagPlan): Promise<LagReport> {
  const tenant_id = newTenant();
  const made = await roomsMade(cluster) + ROOMS;
  const base = { name: "lag", members: ROOMS, rooms: ROOMS, subscribed: false };
  for (const [index, member] of membersOf(base, tenant_id).entries()) {
    cluster.shields[index % SHIELDS]!.presence.join(member);
  }
  await until(async () => await roomsMade(cluster) >= made, "rooms of the lag", 50);
  const lags: number[] = [];
  const pattern = subjectPattern(`sys.presence.room.${tenant_id}.*`);
  const listening = cluster.spine.subscribe(pattern, ({ payload }) => {
    const now_ms = Date.now();
    const message = decodeMessage(payload);
    if (message.kind !== "room_update") return;
    for (const { entry } of message.joins) lags.push(now_ms - entry.changed_ms);
  });
  await cluster.spine.flush();
  const before = await scrapes(cluster);
  const { stamped, late_ms } = await send(plan, changer(cluster, tenant_id));
  await until(() => lags.length >= stamped, "all changes are heard of");
  const after = await scrapes(cluster);
  listening.unsubscribe();
  const { rate, seconds } = plan;
  return {
    rate,
    seconds,
    changes: rate * seconds,
    heard: lags.length,
    stamped,
    ...delaysOf(lags),
    merged_within: mergedWithin(before, after),
    late_ms,
  };
}
