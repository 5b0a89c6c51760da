/**
 * One round of the presence benchmark: all members join at once, until every Brain has merged them and every
 * room is made; then all leave. They may also join as clients do: by a SUB with presence, which first gets
 * the room's members and then joins.
 */
import type { MemberInput } from "../../shared/presence/types.ts";
import type { PresenceWatch, ShieldPresence } from "../../shield/presence/presence.ts";
import { PATIENCE_MS, total, until } from "../measure/brains.ts";
import { countOn, type PresenceCluster, SHIELDS } from "./presence_cluster.ts";
import { newMember } from "./presence_shields.ts";
import { measureTraffic, type Traffic } from "./presence_traffic.ts";

/** The plan of a round. */
export interface RoundPlan {
  readonly name: string;
  readonly members: number;
  /** Number of rooms, a divisor of `members`. */
  readonly rooms: number;
  /** Whether the members watch their rooms, as a SUB with presence does. */
  readonly subscribed: boolean;
}

/** The result of a round. Times are in ms from the first join (or SUB). */
export interface Round {
  readonly plan: string;
  /** Time when each Brain showed all members. */
  readonly merged_ms: readonly number[];
  /** Time when all rooms were stored. */
  readonly made_ms: number;
  /** Time when the last SUB had its answer. */
  readonly answered_ms: number | undefined;
  /**
   * Number of SUBs that got 503 because nobody told the members in time. Each was repeated until it
   * succeeded.
   */
  readonly refused: number;
}

/** Pause between two requests whether a Brain has merged everything. */
const ASK_PAUSE_MS = 2;
/** Pause of a client that is refused without a time for its next try. */
const RETRY_MS = 1_000;

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
let tenants = 0;

/** A tenant that had no round yet, so that its rooms are new. */
export function newTenant(): string {
  return `bench-${++tenants}`;
}

/** The members of a round; those of one room follow each other in time. */
export function membersOf({ members, rooms }: RoundPlan, tenant_id: string): MemberInput[] {
  return Array.from(
    { length: members },
    (_, index) => newMember(tenant_id, `room-${index % rooms}`, index),
  );
}

const shieldOf = ({ shields }: PresenceCluster, index: number) =>
  shields[index % shields.length]!.presence;

/** The rooms of each Shield's last member. What a Shield did is merged in order, so these rooms come last. */
function lastRooms(members: readonly MemberInput[]): Set<string> {
  return new Set(members.slice(-SHIELDS).map(({ room_id }) => room_id));
}

/** Resolves with the time at which a Brain shows the members that the last rooms should have. */
async function shownBy(
  { spine }: PresenceCluster,
  brain_id: string,
  members: readonly MemberInput[],
  connections: number,
): Promise<number> {
  const tenant_id = members[0]?.tenant_id ?? "";
  const deadline_ms = performance.now() + PATIENCE_MS;
  for (const room_id of lastRooms(members)) {
    while (await countOn(spine, brain_id, tenant_id, room_id) !== connections) {
      if (performance.now() > deadline_ms) throw new Error(`${brain_id} does not show ${room_id}`);
      await pause(ASK_PAUSE_MS);
    }
  }
  return performance.now();
}

/** Resolves with the times of all Brains. */
function shownByAll(
  cluster: PresenceCluster,
  members: readonly MemberInput[],
  connections: number,
): Promise<number[]> {
  const { brains } = cluster.running;
  return Promise.all(
    brains.map(({ brain_id }) => shownBy(cluster, brain_id, members, connections)),
  );
}

/** The answers to the SUBs of a round. */
interface Answers {
  answered: number;
  refused: number;
  last_ms: number;
}

interface Entered {
  readonly answers: Answers;
  /** Ends the watches of the rooms. */
  readonly close: () => void;
}

/**
 * Subscribes all members, as `shield/connection/attendance.ts` serves a SUB with presence to a client that
 * repeats refused requests.
 */
function subscribeAll(cluster: PresenceCluster, members: readonly MemberInput[]): Entered {
  const answers: Answers = { answered: 0, refused: 0, last_ms: 0 };
  const watches = new Set<PresenceWatch>();
  const subscribe = (member: MemberInput, shield: ShieldPresence) => {
    const watch = shield.watch(member.tenant_id, member.room_id, { onChanges: () => {} });
    watches.add(watch);
    watch.ready((error) => {
      if (error !== undefined) {
        answers.refused++;
        watches.delete(watch);
        watch.close();
        return void setTimeout(() => subscribe(member, shield), error.retry_after_ms || RETRY_MS);
      }
      shield.join(member);
      watch.told(() => {
        watch.snapshot();
        answers.answered++;
        answers.last_ms = performance.now();
      });
    });
  };
  for (const [index, member] of members.entries()) subscribe(member, shieldOf(cluster, index));
  return { answers, close: () => watches.forEach((watch) => watch.close()) };
}

function enterAll(
  cluster: PresenceCluster,
  plan: RoundPlan,
  members: readonly MemberInput[],
): Entered {
  if (plan.subscribed) return subscribeAll(cluster, members);
  for (const [index, member] of members.entries()) shieldOf(cluster, index).join(member);
  return { answers: { answered: 0, refused: 0, last_ms: 0 }, close: () => {} };
}

function allAnswered(answers: Answers, { name, members }: RoundPlan): Promise<void> {
  return until(() => answers.answered === members, `answers (${name})`);
}

async function leaveAll(cluster: PresenceCluster, members: readonly MemberInput[]): Promise<void> {
  for (const [index, { tenant_id, room_id, connection_id }] of members.entries()) {
    shieldOf(cluster, index).leave(tenant_id, room_id, connection_id, true);
  }
  await shownByAll(cluster, members, 0);
}

/** The number of rooms that all Brains together have made. */
export function roomsMade({ running }: PresenceCluster): Promise<number> {
  return total(running, "brain_rooms_created_total");
}

async function entered(
  cluster: PresenceCluster,
  plan: RoundPlan,
  members: readonly MemberInput[],
): Promise<Round & { close: () => void }> {
  const made = await roomsMade(cluster) + plan.rooms;
  const began_ms = performance.now();
  const { answers, close } = enterAll(cluster, plan, members);
  if (plan.subscribed) await allAnswered(answers, plan);
  const merged_ms = await shownByAll(cluster, members, plan.members / plan.rooms);
  await until(async () => await roomsMade(cluster) >= made, `rooms of ${plan.name}`, 20);
  const made_ms = performance.now() - began_ms;
  return {
    plan: plan.name,
    merged_ms: merged_ms.map((at_ms) => at_ms - began_ms),
    made_ms,
    answered_ms: plan.subscribed ? answers.last_ms - began_ms : undefined,
    refused: answers.refused,
    close,
  };
}

/** Runs one round in a tenant of its own; at the end the cluster is empty again. */
export async function runRound(cluster: PresenceCluster, plan: RoundPlan): Promise<Round> {
  const members = membersOf(plan, newTenant());
  const { close, ...round } = await entered(cluster, plan, members);
  close();
  await leaveAll(cluster, members);
  return round;
}

/**
 * Runs a round and counts its traffic, up to the time when all members are there. It makes none of the
 * requests of a timed round.
 */
export async function countRound(cluster: PresenceCluster, plan: RoundPlan): Promise<Traffic> {
  const members = membersOf(plan, newTenant());
  const made = await roomsMade(cluster) + plan.rooms;
  let close = () => {};
  const traffic = await measureTraffic(cluster.running, async () => {
    const { answers, close: closeAll } = enterAll(cluster, plan, members);
    close = closeAll;
    if (plan.subscribed) await allAnswered(answers, plan);
    await until(async () => await roomsMade(cluster) >= made, `rooms of ${plan.name}`, 20);
    await shownByMetrics(cluster, plan.members);
  });
  close();
  await leaveAll(cluster, members);
  return traffic;
}

/** Waits until the metrics of each Brain have that many members. HTTP adds nothing to the Spine's traffic. */
async function shownByMetrics({ running }: PresenceCluster, members: number): Promise<void> {
  for (const { metrics } of running.brains) {
    const holds = async () => (await metrics()).sum("brain_presence_members") === members;
    await until(holds, `${members} members in a Brain's metrics`, 50);
  }
}
