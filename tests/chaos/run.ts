/**
 * One chaos run from its start to its verdict: a cluster, a crowd, messages, faults, peace, and what is
 * wrong afterwards. `main.ts` and the test call it.
 */
import { becomes, until } from "../../shared/testing/until.ts";
import type { Fault, ServerCount } from "../faults/fault.ts";
import { createRandom } from "../presence_simulation/random.ts";
import { Crowd } from "./crowd.ts";
import { startFleet, targetsOf } from "./fleet.ts";
import type { ChaosFleet } from "./fleet.ts";
import { askForEvents, contend, intrude } from "./lock_contender.ts";
import { describeLeaderless } from "./leader_record.ts";
import { judgeLocks } from "./lock_judge.ts";
import { judgeMembers } from "./members_judge.ts";
import { Registry } from "./registry.ts";
import { findDifferences } from "./roster.ts";
import { planFaults } from "./script.ts";
import { settle } from "./settle.ts";
import type { Settled } from "./settle.ts";
import { Traffic } from "./traffic.ts";
import type { TrafficOutcome } from "./traffic.ts";
import type { Variant } from "./variant.ts";

/** What to do. */
export interface Plan {
  readonly variant: Variant;
  /** How long faults go on. */
  readonly seconds: number;
  readonly clients: number;
  readonly seed: number;
  /** Of NATS. */
  readonly servers: ServerCount;
  /** Of `[server]` of the Shields; absent: none. */
  readonly shield_lines?: string;
  /** Hears the progress, line by line. */
  readonly say: (line: string) => void;
}

/** What came of it. */
export interface Outcome {
  /** Empty: nothing was wrong. */
  readonly violations: readonly string[];
  /**
   * Why it could not be judged whether all was right: NATS itself would not say. Empty: it was judged.
   */
  readonly undecided: readonly string[];
  /** The final report, without the violations. */
  readonly report: readonly string[];
  /** Where the logs of all processes are. */
  readonly dir: string;
  /** What the checkers were given, for planting faults into it; undefined: it never got that far. */
  readonly messages: TrafficOutcome["recording"] | undefined;
  readonly logs: ReturnType<Traffic["durableRecordings"]>;
}

const PROGRESS_MS = 5_000;
const LINES_MAX = 40;
const seconds = (ms: number) => `${(ms / 1_000).toFixed(1)} s`;

function countBy(items: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const item of items) counts.set(item, (counts.get(item) ?? 0) + 1);
  return [...counts].sort().map(([name, count]) => `${name} ${count}`).join(", ");
}

/** Everything that a run has in its hands. */
class Run {
  readonly plan: Plan;
  readonly fleet: ChaosFleet;
  readonly registry: Registry;
  readonly crowd: Crowd;
  readonly traffic: Traffic;
  readonly surprises: string[];

  constructor(
    plan: Plan,
    fleet: ChaosFleet,
    registry: Registry,
    crowd: Crowd,
    traffic: Traffic,
    surprises: string[],
  ) {
    [this.plan, this.fleet, this.registry] = [plan, fleet, registry];
    [this.crowd, this.traffic, this.surprises] = [crowd, traffic, surprises];
  }

  /** How many clients are connected and how many lists are right. */
  standing(): string {
    const clients = this.crowd.attendees();
    const open = clients.filter(({ connection_id }) => connection_id !== undefined).length;
    const lists = clients.reduce((sum, { stays }) => sum + stays.length, 0);
    const wrong = findDifferences(clients).length;
    return `${open} of ${clients.length} clients connected, ${
      lists - wrong
    } of ${lists} lists right`;
  }

  /** Faults, and everybody's life meanwhile; then peace, until all is settled. */
  async suffer(faults: readonly Fault[]): Promise<Settled> {
    const { plan, crowd, registry } = this;
    const living = new AbortController();
    const random = createRandom(plan.seed).fork(3);
    const { lock_ttl_ms: ttl_ms } = plan.variant;
    const onSurprise = (text: string) => void this.surprises.push(text);
    const lives = crowd.lock_rooms.flatMap(({ ledger, contenders, intruder }, room) => {
      const options = { ledger, ttl_ms, signal: living.signal, onSurprise };
      const loops = contenders.map((client, index) =>
        contend({ ...options, client, random: random.fork(room * 100 + index) })
      );
      return [
        ...loops,
        intrude({ ...options, client: intruder, random: random.fork(room * 100 + 99) }),
      ];
    });
    lives.push(crowd.live(living.signal), this.traffic.run(living.signal));
    const progress = setInterval(() => {
      registry.settle();
      plan.say(this.standing());
    }, PROGRESS_MS);
    try {
      await this.fleet.bus.suffer(faults);
      living.abort();
      plan.say(`the faults are over: ${this.standing()}`);
      return await settle(this, plan.variant);
    } finally {
      clearInterval(progress);
      living.abort();
      await Promise.all(lives);
    }
  }

  /** Each room tells what it knows of its locks; once every room has answered. */
  async collectEvents(): Promise<void> {
    for (const { ledger, contenders } of this.crowd.lock_rooms) {
      let turn = 0;
      const isAnswered = () => askForEvents(contenders[turn++ % contenders.length]!, ledger);
      await until(`a Brain answers for ${ledger.room_id}`, isAnswered);
    }
  }

  /** Brains that did not own a room may be a heartbeat behind. */
  async askBrains(): Promise<string[]> {
    let problems: string[] = [];
    await becomes(async () => {
      problems = await this.crowd.askBrains();
      return problems.length === 0;
    }, this.plan.variant.bound_ms);
    return problems;
  }
}

function verdictOn(brains: readonly string[] | undefined): string {
  if (brains === undefined) return "not asked";
  return brains.length === 0 ? "every list that was asked for right" : "WRONG";
}

/** For a run that cannot go on, or whose rooms nobody can ask, because streams have no leader. */
function undecidable(
  { fleet, registry, surprises }: Run,
  settled: Settled | undefined,
): Omit<Outcome, "dir"> | undefined {
  const silent = fleet.leaders.lasting();
  if (silent.length === 0) return undefined;
  registry.settle(true);
  return {
    violations: [
      ...(settled?.problems ?? []),
      ...registry.violations.slice(0, LINES_MAX),
      ...surprises,
      ...fleet.bus.bugs(),
    ],
    undecided: silent.map(describeLeaderless),
    report: ["rooms, locks and messages were not judged"],
    messages: undefined,
    logs: [],
  };
}

/** Waits until every stream has a leader, or has had none for too long. */
async function awaitLeaders({ fleet, plan }: Run): Promise<void> {
  await becomes(() => fleet.leaders.lasting().length === 0, plan.variant.bound_ms);
}

async function perform(run: Run, faults: readonly Fault[]): Promise<Omit<Outcome, "dir">> {
  const { plan: { say, variant }, crowd, traffic, registry, fleet, surprises } = run;
  await crowd.open();
  await traffic.open();
  const first = await settle(run, variant);
  if (first.after_ms === undefined) {
    const violations = ["before any fault:", ...first.problems];
    return { violations, undecided: [], report: [], messages: undefined, logs: [] };
  }
  say(`${run.standing()}; the faults begin`);
  const settled = await run.suffer(faults);
  say(run.standing());
  await awaitLeaders(run);
  const undecided = undecidable(run, settled);
  if (undecided !== undefined) return undecided;
  // While lists are wrong, nothing that a Brain says could be judged.
  const brains = settled.after_ms === undefined ? undefined : await run.askBrains();
  const journals = await judgeMembers(crowd, variant.bound_ms);
  await run.collectEvents();
  const changes = await Promise.all(
    crowd.lock_rooms.map((room) => room.changes.judge(variant.bound_ms)),
  );
  const messages = await traffic.judge();
  registry.settle(true);
  const judgements = crowd.lock_rooms.map(({ ledger }) => judgeLocks(ledger));
  const total = (count: (of: typeof judgements[number]) => number) =>
    judgements.reduce((sum, judgement) => sum + count(judgement), 0);
  const ends = judgements.flatMap((judgement) =>
    Object.entries(judgement.ends).flatMap(([cause, count]) => Array(count).fill(cause) as string[])
  );
  const lists = crowd.attendees().reduce((sum, { stays }) => sum + stays.length, 0);
  const converged = settled.after_ms === undefined
    ? `NOT right within ${seconds(variant.bound_ms)} of the last fault`
    : `right ${seconds(settled.after_ms)} after the last fault (bound ${
      seconds(variant.bound_ms)
    }), ` +
      `and for ${seconds(variant.steady_ms)} on`;
  return {
    violations: [
      ...settled.problems,
      ...(brains ?? []).slice(0, LINES_MAX),
      ...judgements.flatMap(({ violations }) => violations.slice(0, LINES_MAX)),
      ...changes.flatMap(({ violations }) => violations.slice(0, LINES_MAX)),
      ...registry.violations.slice(0, LINES_MAX),
      ...journals.violations.concat(messages.violations),
      ...surprises,
      ...fleet.bus.bugs(),
    ],
    undecided: [],
    report: [
      ...fleet.leaders.times().map(describeLeaderless),
      `faults   ${faults.length}: ${countBy(faults.map(({ kind }) => kind))}`,
      `         ${countBy(faults.map(({ target }) => target))}`,
      `clients  ${crowd.clients.length} on ${registry.size} connections, ` +
      `told of changes ${registry.changes} times`,
      `lists    ${lists} ${converged}`,
      `late     ${registry.late.length} times a Shield had not heard of a member, whom a client missed` +
      registry.late.slice(0, 3).map((one) => `; ${one}`).join(""),
      `brains   ${verdictOn(brains)}`,
      `locks    ${total(({ locks }) => locks)} in ${judgements.length} rooms: ${countBy(ends)}; ` +
      `${total(({ writes }) => writes)} writes, ${total(({ refused }) => refused)} refused`,
      ...changes.map(({ report }, at) =>
        `${at === 0 ? "changes " : "        "} ${crowd.lock_rooms[at]?.ledger.tenant_id}: ${report}`
      ),
      ...[journals.report, ...messages.report],
    ],
    messages: messages.recording,
    logs: traffic.durableRecordings(),
  };
}

/** A process that cannot start, or a room that nobody answers for, may be NATS' doing. */
async function tryToPerform(run: Run, faults: readonly Fault[]): Promise<Omit<Outcome, "dir">> {
  try {
    return await perform(run, faults);
  } catch (error) {
    const undecided = undecidable(run, undefined);
    if (undecided === undefined) throw error;
    run.plan.say(`the run was given up: ${error instanceof Error ? error.message : error}`);
    return undecided;
  }
}

/** Runs it all. Rejects only when the cluster does not start or start again. */
export async function runChaos(plan: Plan): Promise<Outcome> {
  const { variant, seed, servers, shield_lines = "", say } = plan;
  const dir = await Deno.makeTempDir({ prefix: "arqon-chaos-" });
  const random = createRandom(seed);
  const registry = new Registry(variant.never_down_before_ms, () => performance.now());
  const surprises: string[] = [];
  const onSurprise = (text: string) => {
    say(`unexpected: ${text}`);
    surprises.push(text);
  };
  const onFault = ({ target, kind, away_ms }: Fault) => {
    if (kind === "stop" || kind === "cut") registry.silenced(target, away_ms);
  };
  say(`logs in ${dir}`);
  const began_ms = performance.now();
  const hearers = { say, now: () => performance.now() - began_ms, onFault, onSurprise };
  await using fleet = await startFleet({ variant, servers, shield_lines, dir, ...hearers });
  const { urls, bus: { issuer } } = fleet;
  const crowd = new Crowd({
    size: plan.clients,
    variant,
    urls,
    issuer,
    registry,
    random: random.fork(1),
    onSurprise,
  });
  const traffic = new Traffic({ variant, urls, issuer, random: random.fork(4), onSurprise });
  const faults = planFaults(plan.seconds * 1_000, targetsOf(servers), variant, random.fork(2));
  const run = new Run(plan, fleet, registry, crowd, traffic, surprises);
  try {
    return { ...await tryToPerform(run, faults), dir };
  } finally {
    await Promise.all([crowd.close(), traffic.close()]);
  }
}
