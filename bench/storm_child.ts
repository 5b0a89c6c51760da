/**
 * A program that makes a connection storm: one Shield with TLS, crowds of clients in processes of
 * their own, and a steady pair beside them. Its argument is a plan as JSON; prints JSON. `storm.ts`
 * starts it.
 */
import { createIssuer, type Issuer, startServer } from "../tests/cluster.ts";
import { ROOT } from "./scenario.ts";
import type { CrowdPlan, CrowdReport } from "./storm_crowd.ts";
import type { Door } from "./storm_handshake.ts";
import type { PairPlan, PairReport } from "./storm_pair_child.ts";
import { TextLineStream } from "./text_lines.ts";

/** What is asked for. */
export interface StormPlan {
  readonly clients: number;
  readonly processes: number;
  /** Attempts under way at a time, all processes together. */
  readonly lanes: number;
  /** `[limits] handshakes_per_second` and `handshake_burst` of the Shield. */
  readonly handshakes_per_second: number;
  readonly handshake_burst: number;
  /** How long the steady pair is measured before the storm. */
  readonly seconds: number;
  /** Messages a second of the steady pair. */
  readonly rate: number;
  readonly tls: boolean;
  /** `[server] websocket` of the Shield; "" leaves it out. */
  readonly websocket: string;
  /** Added to the niceness of the clients, which are other machines in reality. */
  readonly nice: number;
}

/** What the Shield itself says. */
export interface DoorReport {
  /** Upgrades accepted in the storm. */
  readonly accepted: number;
  readonly refused: number;
  /** Upper bound of the p99 from an upgrade request to its 101, by the histogram's buckets. */
  readonly answered_p99_ms: number;
  readonly cache_hits: number;
  readonly cache_misses: number;
  readonly cpu_seconds: number;
}

/** What it came to. */
export interface StormReport {
  readonly crowds: readonly CrowdReport[];
  readonly pair: PairReport;
  readonly door: DoorReport;
}

interface Child extends AsyncDisposable {
  /** Writes a line. */
  say(line: string): Promise<void>;
  /** The next line, as JSON. */
  hear<T>(): Promise<T>;
  /** No more lines. */
  finish(): Promise<void>;
}

function startChild(program: string, flags: readonly string[], nice: number): Child {
  const args = ["run", "--no-prompt", ...flags, `${ROOT}/${program}`];
  const [command, all] = nice === 0
    ? [Deno.execPath(), args]
    : ["nice", ["-n", String(nice), Deno.execPath(), ...args]];
  const child = new Deno.Command(command, {
    args: all,
    cwd: ROOT,
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const writer = child.stdin.getWriter();
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream())
    .values();
  let finished = false;
  const finish = async () => {
    if (finished) return;
    finished = true;
    await writer.close().catch(() => {});
  };
  return {
    say: (line) => writer.write(new TextEncoder().encode(`${line}\n`)),
    async hear() {
      const { value, done } = await lines.next();
      if (done || value === undefined) throw new Error(`${program} ended without an answer`);
      return JSON.parse(value);
    },
    finish,
    async [Symbol.asyncDispose]() {
      await finish();
      await child.status;
    },
  };
}

function configOf(plan: StormPlan, issuer: Issuer): string {
  return `${issuer.config}
[limits]
handshakes_per_second = ${plan.handshakes_per_second}
handshake_burst = ${plan.handshake_burst}
`;
}

function serverLines(plan: StormPlan): string {
  const lines = ["heartbeat_ms = 600_000", "drain_ms = 0"];
  if (plan.websocket !== "") lines.push(`websocket = "${plan.websocket}"`);
  if (plan.tls) {
    lines.push(`tls_cert = "${ROOT}/tests/tls/server.pem"`);
    lines.push(`tls_key = "${ROOT}/tests/tls/server_key.pem"`);
  }
  return lines.join("\n");
}

/** The samples of a process's metrics, by name and labels. */
async function metricsOf(ops_url: string): Promise<Map<string, number>> {
  const text = await (await fetch(`${ops_url}/metrics`)).text();
  return new Map(
    text.split("\n").filter((line) => line !== "" && !line.startsWith("#")).map((line) => {
      const space = line.lastIndexOf(" ");
      return [line.slice(0, space), Number(line.slice(space + 1))];
    }),
  );
}

function doorReport(before: Map<string, number>, after: Map<string, number>): DoorReport {
  const grown = (name: string) => (after.get(name) ?? 0) - (before.get(name) ?? 0);
  const sum = (prefix: string) =>
    [...after.keys()].filter((name) => name.startsWith(prefix)).reduce(
      (all, name) => all + grown(name),
      0,
    );
  const histogram = "shield_handshake_duration_seconds";
  const accepted = grown(`${histogram}_count`);
  const bucket = [...after.keys()].filter((name) => name.startsWith(`${histogram}_bucket`))
    .map((name) => [Number(/le="([^"]*)"/.exec(name)?.[1]), grown(name)] as const)
    .find(([, count]) => count >= accepted * 0.99);
  return {
    accepted,
    refused: sum("shield_admission_refusals_total"),
    answered_p99_ms: (bucket?.[0] ?? Infinity) * 1_000,
    cache_hits: grown("shield_token_cache_hits_total"),
    cache_misses: grown("shield_token_cache_misses_total"),
    cpu_seconds: grown("process_cpu_seconds_total"),
  };
}

async function startCrowds(plan: StormPlan, door: Door, issuer: Issuer): Promise<Child[]> {
  const tokens = await Promise.all(
    Array.from({ length: plan.clients }, (_, index) => issuer.tokenFor({ sub: `user-${index}` })),
  );
  const share = Math.ceil(plan.clients / plan.processes);
  return await Promise.all(Array.from({ length: plan.processes }, async (_, index) => {
    const child = startChild("bench/storm_crowd_child.ts", ["--allow-net"], plan.nice);
    const crowd: CrowdPlan = {
      door,
      tokens: tokens.slice(index * share, (index + 1) * share),
      lanes: Math.ceil(plan.lanes / plan.processes),
    };
    await child.say(JSON.stringify(crowd));
    return child;
  }));
}

function say(text: string): void {
  console.error(`storm: ${text} ...`);
}

async function run(plan: StormPlan): Promise<StormReport> {
  const issuer = await createIssuer();
  await using shield = await startServer(
    "shield",
    configOf(plan, issuer),
    issuer.dir,
    serverLines(plan),
  );
  const { url = "", ops_url = "" } = shield.ready;
  const { hostname, port } = new URL(url);
  const ca_file = `${ROOT}/tests/tls/ca.pem`;
  const ca = plan.tls ? { ca: await Deno.readTextFile(ca_file) } : {};
  await using pair = startChild("bench/storm_pair_child.ts", ["--allow-net", "--cert", ca_file], 0);
  const steady: PairPlan = {
    url: `${url.replace(/^http/, "ws")}/v1/socket`,
    token: await issuer.tokenFor({ sub: "steady" }),
    rate: plan.rate,
  };
  await pair.say(JSON.stringify(steady));
  await pair.hear();
  say(`${plan.clients} clients connect`);
  const crowds = await startCrowds(plan, { hostname, port: Number(port), ...ca }, issuer);
  try {
    const open = await Promise.all(crowds.map((crowd) => crowd.hear<{ open: number }>()));
    say(`${open.reduce((sum, one) => sum + one.open, 0)} are in; quiet for ${plan.seconds} s`);
    await pair.say("before");
    await new Promise((resolve) => setTimeout(resolve, plan.seconds * 1_000));
    const before = await metricsOf(ops_url);
    say("all drop and return at once");
    await pair.say("storm");
    await Promise.all(crowds.map((crowd) => crowd.say("storm")));
    const reports = await Promise.all(crowds.map((crowd) => crowd.hear<CrowdReport>()));
    await pair.say("after");
    const after = await metricsOf(ops_url);
    await pair.finish();
    return { crowds: reports, pair: await pair.hear(), door: doorReport(before, after) };
  } finally {
    await Promise.all(crowds.map((crowd) => crowd[Symbol.asyncDispose]()));
    await Deno.remove(issuer.dir, { recursive: true });
  }
}

if (import.meta.main) {
  console.log(JSON.stringify(await run(JSON.parse(Deno.args[0] ?? ""))));
  Deno.exit(0);
}
