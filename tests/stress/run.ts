/**
 * Runs scenarios side by side on the same nodes, each with names of its own and a deadline of its own,
 * then makes sure that nothing of them is left. `main.ts` and the test call it.
 */
import { until } from "../../shared/testing/until.ts";
import { createRandom } from "../presence_simulation/random.ts";
import { startNodes } from "./node.ts";
import type { Node, Nodes } from "./node.ts";
import { Stage } from "./scenario.ts";
import type { Scenario } from "./scenario.ts";
import { CORE } from "./scenarios_core.ts";
import { LIMITS } from "./scenarios_limits.ts";
import { STREAM } from "./scenarios_stream.ts";

/** What to do. */
export interface StressPlan {
  /** Numbers or names; empty: all. */
  readonly wanted: readonly string[];
  readonly unwanted: readonly string[];
  /** How often each is run. */
  readonly repeat: number;
  /** Of the numbers of the list; 1 is all. */
  readonly scale: number;
  readonly seed: number;
  /** Scenarios at a time. */
  readonly at_once: number;
  /** For each. */
  readonly deadline_ms: number;
  readonly say: (line: string) => void;
}

/** How one scenario went. */
export interface StressResult {
  readonly number: number;
  readonly name: string;
  readonly took_ms: number;
  /** Undefined: it passed. */
  readonly failure: string | undefined;
}

/** Every scenario that is implemented, by number. */
export const SCENARIOS: readonly Scenario[] = [...CORE, ...STREAM, ...LIMITS]
  .sort((one, other) => one.number - other.number);

/** Afterwards every Shield counts nobody and nothing. */
const NO_LEAKS = { number: 55, name: "no_leaks_final" };
/** Afterwards the Shields have as many files and sockets open as after the warm-up. */
const NO_TASK_LEAKS = { number: 56, name: "no_task_leaks" };
/** Sockets to metrics readers and idle HTTP connections come and go. */
const FILES_MORE = 4;
const LEAKS: readonly string[] = [
  "shield_active_connections",
  "shield_subscriptions",
  "shield_rooms",
  "shield_pending_operations",
  "shield_unsent_bytes",
];
const LEAK_MS = 30_000;

/** Those that are wanted. Throws RangeError for a name that there is not. */
export function chosen({ wanted, unwanted }: Pick<StressPlan, "wanted" | "unwanted">): Scenario[] {
  const is = ({ number, name }: Scenario) => (said: string) =>
    said === name || said === String(number);
  for (const said of [...wanted, ...unwanted]) {
    if (SCENARIOS.some((scenario) => is(scenario)(said))) continue;
    throw new RangeError(`there is no scenario ${JSON.stringify(said)}`);
  }
  return SCENARIOS.filter((scenario) => (
    (wanted.length === 0 || wanted.some(is(scenario))) && !unwanted.some(is(scenario))
  ));
}

async function withDeadline(work: Promise<void>, deadline_ms: number): Promise<void> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new Error(`not over after ${deadline_ms} ms`)),
    deadline_ms,
  );
  await Promise.race([work, late]).finally(() => clearTimeout(timer));
}

async function perform(
  scenario: Scenario,
  nodes: Nodes,
  plan: StressPlan,
  round: number,
): Promise<StressResult> {
  const { number, name } = scenario;
  const began_ms = performance.now();
  const random = createRandom(plan.seed).fork(number * 1_000 + round);
  const stage = new Stage(nodes, `${number}-${round}`, plan.scale, random);
  let failure: string | undefined;
  try {
    const work = scenario.run(stage);
    // When it is late, it may still fail, and nobody would hear it.
    work.catch(() => {});
    await withDeadline(work, plan.deadline_ms);
  } catch (error) {
    failure = error instanceof Error ? error.stack ?? error.message : String(error);
  }
  await stage.close();
  const took_ms = performance.now() - began_ms;
  plan.say(`${failure === undefined ? "ok  " : "FAIL"} ${number} ${name} ${took_ms.toFixed(0)} ms`);
  return { number, name, took_ms, failure };
}

async function leaksOf(node: Node): Promise<string[]> {
  const found: string[] = [];
  for (const metric of LEAKS) {
    const value = await node.metric(metric);
    if (value !== 0) found.push(`${node.name}: ${metric} is ${value}`);
  }
  return found;
}

/** Scenario 55. */
async function noLeaks({ main, strict, a, b }: Nodes): Promise<StressResult> {
  const began_ms = performance.now();
  const all = [main, strict, a, b];
  let left: string[] = [];
  const clean = async () => {
    left = (await Promise.all(all.map(leaksOf))).flat();
    return left.length === 0;
  };
  const failure = await until("nodes without anybody", clean, LEAK_MS).then(
    () => undefined,
    () => left.join(", "),
  );
  const bugs = all.flatMap((node) => node.bugs().map((line) => `${node.name} logged: ${line}`));
  const problems = [...(failure === undefined ? [] : [failure]), ...bugs];
  return {
    ...NO_LEAKS,
    took_ms: performance.now() - began_ms,
    failure: problems.length === 0 ? undefined : problems.join("\n"),
  };
}

/** Connects, subscribes, publishes, reads and closes on each node, so that caches and pools are there. */
async function warmUp(nodes: Nodes, plan: StressPlan): Promise<Map<Node, number>> {
  const stage = new Stage(nodes, "warm-up", plan.scale, createRandom(plan.seed));
  const room = stage.name("log");
  for (const node of [nodes.main, nodes.strict, nodes.a, nodes.b]) {
    const peer = await stage.peer(node);
    await peer.sub(room, { presence: true });
    await peer.pub(room, 1);
    await peer.command(room, "history.get", {});
    await peer.command(room, "presence.count");
  }
  await stage.close();
  const files = new Map<Node, number>();
  for (const node of [nodes.a, nodes.b]) {
    await until("the warm-up", async () => await node.metric("shield_active_connections") === 0);
    const count = await node.files();
    if (count !== undefined) files.set(node, count);
  }
  return files;
}

/** Scenario 56. */
async function noTaskLeaks(before: ReadonlyMap<Node, number>): Promise<StressResult> {
  const began_ms = performance.now();
  let said = "";
  let failure: string | undefined;
  for (const [node, count] of before) {
    const settled = async () => {
      const now = await node.files() ?? 0;
      said = `${node.name} has ${now} files and sockets open; ${count} after the warm-up`;
      return now <= count + FILES_MORE;
    };
    await until("files to close", settled, LEAK_MS).catch(() => failure = said);
  }
  return { ...NO_TASK_LEAKS, took_ms: performance.now() - began_ms, failure };
}

/** Runs them all; failures come first. Rejects when a node does not come up. */
export async function runStress(plan: StressPlan): Promise<StressResult[]> {
  const scenarios = chosen(plan);
  await using nodes = await startNodes();
  plan.say(`four nodes are ready; ${scenarios.length} scenarios, seed ${plan.seed}`);
  const files = await warmUp(nodes, plan);
  const turns = Array.from({ length: plan.repeat }, (_, round) => (
    scenarios.map((scenario) => ({ scenario, round }))
  )).flat().values();
  const results: StressResult[] = [];
  await Promise.all(Array.from({ length: plan.at_once }, async () => {
    for (const { scenario, round } of turns) {
      results.push(await perform(scenario, nodes, plan, round));
    }
  }));
  results.push(await noLeaks(nodes), await noTaskLeaks(files));
  const failed = ({ failure }: StressResult) => failure === undefined ? 1 : 0;
  return results.sort((one, other) => failed(one) - failed(other) || one.number - other.number);
}
