/**
 * A program that makes a connection storm on a Shield, then the same on bare Deno: crowds of clients in
 * processes of their own, and a steady pair beside them. Its argument is a plan as JSON; it prints JSON.
 * `storm.ts` starts it.
 */
import { createIssuer } from "../../tests/harness/cluster.ts";
import { ROOT } from "../measure/scenario.ts";
import type { CrowdPlan, CrowdReport } from "./storm_crowd.ts";
import type { PairPlan, PairReport } from "./storm_pair_child.ts";
import { niceness, type Program, startProgram } from "../measure/line_program.ts";
import { type Spent, startBare, startShield, type StormTarget } from "./storm_target.ts";

/** The plan of the measurement. */
export interface StormPlan {
  readonly clients: number;
  readonly processes: number;
  /** Attempts that are under way at a time in all processes together. */
  readonly lanes: number;
  /** `[limits] handshakes_per_second` and `handshake_burst` of the Shield. */
  readonly handshakes_per_second: number;
  readonly handshake_burst: number;
  /** Seconds for which the steady pair is measured before the storm. */
  readonly seconds: number;
  /** Messages per second of the steady pair. */
  readonly rate: number;
  readonly tls: boolean;
  /** `[server] websocket` of the Shield; "" leaves it out. */
  readonly websocket: string;
  /** Added to the niceness of the clients, which in reality are on other machines. */
  readonly nice: number;
  /** Whether to leave out the storm on bare Deno. */
  readonly alone: boolean;
}

/** The result of one storm. */
export interface StormRound {
  readonly crowds: readonly CrowdReport[];
  readonly pair: PairReport;
  readonly spent: Spent;
}

/** The result of the measurement; `bare` is absent when the Shield was alone. */
export interface StormReport {
  readonly shield: StormRound;
  readonly bare?: StormRound;
}

const CA_FILE = `${ROOT}/tests/tls/ca.pem`;
/** The whole process trusts the authority, since one that a client brings is parsed each time. */
const CLIENT_FLAGS = ["--allow-net", "--cert", CA_FILE];

async function startCrowds(
  plan: StormPlan,
  url: string,
  tokens: readonly string[],
): Promise<Program[]> {
  const { hostname, port } = new URL(url);
  const door = { hostname, port: Number(port), ...(plan.tls ? { ca: "" } : {}) };
  const share = Math.ceil(plan.clients / plan.processes);
  return await Promise.all(Array.from({ length: plan.processes }, async (_, index) => {
    const child = startProgram("bench/storm/storm_crowd_child.ts", {
      flags: CLIENT_FLAGS,
      before: niceness(plan.nice),
    });
    const crowd: CrowdPlan = {
      door,
      tokens: tokens.slice(index * share, (index + 1) * share),
      lanes: Math.ceil(plan.lanes / plan.processes),
    };
    await child.say(crowd);
    return child;
  }));
}

function say(text: string): void {
  console.error(`storm: ${text} ...`);
}

async function hit(
  plan: StormPlan,
  target: StormTarget,
  tokens: readonly string[],
): Promise<StormRound> {
  const [token = "", ...others] = tokens;
  await using pair = startProgram("bench/storm/storm_pair_child.ts", { flags: CLIENT_FLAGS });
  const url = `${target.url.replace(/^http/, "ws")}/v1/socket`;
  await pair.say({ url, token, rate: plan.rate } satisfies PairPlan);
  await pair.hear();
  say(`${plan.clients} clients connect`);
  const crowds = await startCrowds(plan, target.url, others);
  try {
    const open = await Promise.all(crowds.map((crowd) => crowd.hear<{ open: number }>()));
    say(`${open.reduce((sum, one) => sum + one.open, 0)} are in; quiet for ${plan.seconds} s`);
    await pair.say("before");
    await new Promise((resolve) => setTimeout(resolve, plan.seconds * 1_000));
    const measured = await target.measure();
    say("all drop and return at once");
    await pair.say("storm");
    await Promise.all(crowds.map((crowd) => crowd.say("storm")));
    await Promise.all(crowds.map((crowd) => crowd.hear<{ back: true }>()));
    await pair.say("after");
    const spent = await measured();
    const reports = await Promise.all(crowds.map((crowd) => crowd.hear<CrowdReport>()));
    await pair.finish();
    return { crowds: reports, pair: await pair.hear(), spent };
  } finally {
    await Promise.all(crowds.map((crowd) => crowd[Symbol.asyncDispose]()));
  }
}

async function run(plan: StormPlan): Promise<StormReport> {
  const issuer = await createIssuer();
  try {
    // The tokens of the steady pair, and one for each client.
    const tokens = await Promise.all(
      Array.from(
        { length: 1 + plan.clients },
        (_, index) => issuer.tokenFor({ sub: index === 0 ? "steady" : `user-${index}` }),
      ),
    );
    const round = async (name: string, start: () => Promise<StormTarget>) => {
      say(name);
      await using target = await start();
      return await hit(plan, target, tokens);
    };
    const shield = await round("a Shield", () => startShield(plan, issuer));
    if (plan.alone) return { shield };
    return { shield, bare: await round("bare Deno", () => startBare(plan)) };
  } finally {
    await Deno.remove(issuer.dir, { recursive: true });
  }
}

if (import.meta.main) {
  console.log(JSON.stringify(await run(JSON.parse(Deno.args[0] ?? ""))));
  Deno.exit(0);
}
