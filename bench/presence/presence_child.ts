/**
 * A program that measures joins, their traffic and the convergence lag on three Brains and one NATS. Its
 * argument is a plan as JSON; it prints JSON. `presence.ts` starts it.
 */
import { startCluster } from "./presence_cluster.ts";
import { type LagReport, measureLag } from "./presence_lag.ts";
import { countRound, type Round, type RoundPlan, runRound } from "./presence_rounds.ts";
import type { Traffic } from "./presence_traffic.ts";

/** The plan of the measurement. */
export interface PresencePlan {
  readonly rounds: number;
  readonly members: number;
  readonly rate: number;
  readonly seconds: number;
}

/** The result of the measurement. */
export interface PresenceReport {
  readonly rounds: readonly Round[];
  /** The traffic of each plan, by its name. */
  readonly traffic: Readonly<Record<string, Traffic>>;
  readonly lag: LagReport;
}

/** The plans, in the order in which they take turns. */
function plansOf(members: number): RoundPlan[] {
  const one = { members, rooms: 1 };
  const many = { members, rooms: members };
  return [
    { name: "one room", ...one, subscribed: false },
    { name: "a room each", ...many, subscribed: false },
    { name: "one room, SUB", ...one, subscribed: true },
    { name: "a room each, SUB", ...many, subscribed: true },
  ];
}

function say(text: string): void {
  console.error(`presence: ${text} ...`);
}

async function run(plan: PresencePlan): Promise<PresenceReport> {
  await using cluster = await startCluster();
  const plans = plansOf(plan.members);
  say("warm-up");
  for (const one of plansOf(Math.ceil(plan.members / 10))) await runRound(cluster, one);
  const rounds: Round[] = [];
  for (let round = 1; round <= plan.rounds; round++) {
    say(`round ${round} of ${plan.rounds}`);
    for (const one of plans) rounds.push(await runRound(cluster, one));
  }
  say("traffic");
  const traffic: Record<string, Traffic> = {};
  for (const one of plans) traffic[one.name] = await countRound(cluster, one);
  say(`${plan.rate} changes/s for ${plan.seconds} s`);
  return { rounds, traffic, lag: await measureLag(cluster, plan) };
}

if (import.meta.main) {
  console.log(JSON.stringify(await run(JSON.parse(Deno.args[0] ?? ""))));
  Deno.exit(0);
}
