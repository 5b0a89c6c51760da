/**
 * The scenario `storm`: all clients of a Shield lose their connection and reconnect at once. The clients run in
 * separate processes with a steady pair of clients. It compares the figures with the promises of
 * docs/architecture.md#promises; a broken promise fails the run.
 */
import { createIssuer, type Issuer, startServer } from "../../tests/harness/cluster.ts";
import { TLS_FILES } from "../load/targets/target_bare.ts";
import { niceness, type Program, startProgram } from "../measure/line_program.ts";
import { answer, measuredBy } from "../measure/program.ts";
import { scenario, UsageError } from "../measure/scenario.ts";
import { Scrape } from "../measure/scrape.ts";
import { renderRows, renderTable } from "../measure/table.ts";
import { socketLine } from "../measure/targets.ts";
import { waitedSeconds } from "../measure/usage.ts";
import type { CrowdPlan, CrowdReport } from "./storm_crowd.ts";
import type { PairPlan } from "./storm_pair_child.ts";
import { type Figures, figuresOf, type Kept, ms, promisesOf } from "./storm_verdict.ts";
import type { Spent, StormRound } from "./storm_verdict.ts";

interface StormPlan {
  readonly clients: number;
  readonly processes: number;
  /** The number of concurrent attempts in all processes together. */
  readonly lanes: number;
  readonly handshakes_per_second: number;
  readonly handshake_burst: number;
  /** Seconds for which the steady pair is measured before the storm. */
  readonly seconds: number;
  /** Messages per second of the steady pair. */
  readonly rate: number;
  readonly tls: boolean;
  /** A line of `[server]`, or "". */
  readonly socket_line: string;
  /** Added to the niceness of the clients, which in reality are on other machines. */
  readonly nice: number;
}

/** The whole process trusts the authority, since a client's own authority is parsed for each attempt. */
const CLIENT_FLAGS = ["--allow-net", "--cert", TLS_FILES.ca];

function spentOf(before: Scrape, after: Scrape): Spent {
  const grown = (name: string) => after.sum(name) - before.sum(name);
  const histogram = "shield_handshake_duration_seconds";
  const accepted = grown(`${histogram}_count`);
  const bucket = after.labels(`${histogram}_bucket`, "le").find((bound) => {
    const label = `le="${bound}"`;
    const count = after.sum(`${histogram}_bucket`, label) -
      before.sum(`${histogram}_bucket`, label);
    return count >= accepted * 0.99;
  });
  return {
    cpu_seconds: grown("process_cpu_seconds_total"),
    accepted,
    answered_p99_ms: Number(bucket ?? Infinity) * 1_000,
    cache_hits: grown("shield_token_cache_hits_total"),
    cache_misses: grown("shield_token_cache_misses_total"),
  };
}

/** Starts a Shield with the limits of the plan, which accepts the tokens of the issuer. */
async function startShield(plan: StormPlan, issuer: Issuer) {
  const limits = `handshakes_per_second = ${plan.handshakes_per_second}\n` +
    `#constant limits.handshake_burst = ${plan.handshake_burst}\n`;
  const { cert, key } = TLS_FILES;
  const tls = plan.tls ? `tls_cert = "${cert}"\ntls_key = "${key}"\n` : "";
  const lines = `heartbeat_ms = 600_000\ndrain_ms = 0\n${plan.socket_line}${tls}`;
  const config = `${issuer.config}\n[limits]\n${limits}`;
  const shield = await startServer("shield", config, issuer.dir, lines);
  const { socket_url: url, ready: { ops_url = "" } } = shield;
  const scrape = async () => new Scrape(await (await fetch(`${ops_url}/metrics`)).text());
  return {
    url,
    /** Starts to measure. It resolves with a function that ends the measurement. */
    async measure() {
      const before = await scrape();
      const waited = await waitedSeconds(shield.pid);
      return async (): Promise<Spent> => {
        const now = await waitedSeconds(shield.pid);
        const known = waited !== undefined && now !== undefined;
        const waits = known ? { waited_seconds: now - waited } : {};
        return { ...spentOf(before, await scrape()), ...waits };
      };
    },
    [Symbol.asyncDispose]: () => shield[Symbol.asyncDispose](),
  };
}

async function startCrowds(
  plan: StormPlan,
  url: string,
  tokens: readonly string[],
): Promise<Program[]> {
  const share = Math.ceil(plan.clients / plan.processes);
  return await Promise.all(Array.from({ length: plan.processes }, async (_, index) => {
    const child = startProgram("bench/storm/storm_crowd_child.ts", {
      flags: CLIENT_FLAGS,
      before: niceness(plan.nice),
    });
    const crowd: CrowdPlan = {
      door: { url },
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

async function measure(plan: StormPlan): Promise<StormRound> {
  await using issuer = await createIssuer();
  // The token of the steady pair, and one for each client.
  const [token = "", ...others] = await Promise.all(
    Array.from(
      { length: 1 + plan.clients },
      (_, index) => issuer.tokenFor({ sub: index === 0 ? "steady" : `user-${index}` }),
    ),
  );
  await using target = await startShield(plan, issuer);
  await using pair = startProgram("bench/storm/storm_pair_child.ts", { flags: CLIENT_FLAGS });
  const { url } = target;
  const wire = { protocol: "arqon", url, tokens: [token] } as const;
  await pair.say({ wire, rate: plan.rate } satisfies PairPlan);
  await pair.next();
  say(`${plan.clients} clients connect`);
  const crowds = await startCrowds(plan, url, others);
  try {
    const open = await Promise.all(crowds.map((crowd) => crowd.next<{ open: number }>()));
    say(`${open.reduce((sum, one) => sum + one.open, 0)} are in; quiet for ${plan.seconds} s`);
    await pair.say("before");
    await new Promise((resolve) => setTimeout(resolve, plan.seconds * 1_000));
    const measured = await target.measure();
    say("all drop and return at once");
    await pair.say("storm");
    await Promise.all(crowds.map((crowd) => crowd.say("storm")));
    await Promise.all(crowds.map((crowd) => crowd.next<{ back: true }>()));
    await pair.say("after");
    const spent = await measured();
    const reports = await Promise.all(crowds.map((crowd) => crowd.next<CrowdReport>()));
    await pair.finish();
    return { crowds: reports, pair: await pair.next(), spent };
  } finally {
    await Promise.all(crowds.map((crowd) => crowd[Symbol.asyncDispose]()));
  }
}

function stormTable(figures: Figures, pair: StormRound["pair"]): string {
  const row = (name: string, p50_ms: number, p99_ms: number | undefined, max_ms: number) => (
    { name, p50_ms, p99_ms, max_ms }
  );
  const { handshake_p50_ms, handshake_p99_ms, handshake_max_ms, back_p50_ms, back_max_ms } =
    figures;
  const rows = [
    row("handshake let in", handshake_p50_ms, handshake_p99_ms, handshake_max_ms),
    row("drop to WELCOME", back_p50_ms, undefined, back_max_ms),
    ...Object.entries(pair).map(([name, phase]) => ({ name: `steady pair, ${name}`, ...phase })),
  ];
  return renderTable(rows, [
    ["the storm", ({ name }) => name],
    ["p50", ({ p50_ms }) => ms(p50_ms)],
    ["p99", ({ p99_ms }) => ms(p99_ms)],
    ["max", ({ max_ms }) => ms(max_ms)],
  ]);
}

const seconds = (value: number) => `${value.toFixed(2)} s`;

function doorTable(figures: Figures, { spent }: StormRound): string {
  return renderRows(["at the door", ""], [
    ["let in", String(spent.accepted)],
    ["rejected with 503", String(figures.refusals)],
    ["distinct Retry-After", String(figures.distinct_waits)],
    ["attempts without an answer", String(figures.failures)],
    ["tokens remembered / verified", `${spent.cache_hits} / ${spent.cache_misses}`],
    ["request to 101, p99 at most", ms(spent.answered_p99_ms)],
    ["CPU of the Shield", seconds(figures.server_cpu_seconds)],
    ["the Shield waited for a core", seconds(figures.server_waited_seconds)],
    ["CPU of the clients", seconds(figures.clients_cpu_seconds)],
  ]);
}

function promiseTable(kept: readonly Kept[]): string {
  return renderTable(kept, [
    ["promise", ({ promise }) => promise],
    ["bound", ({ bound }) => bound],
    ["measured", ({ measured }) => measured],
    ["", ({ kept }) => kept ? "kept" : "BROKEN"],
  ]);
}

/** The scenario of `deno task bench storm`. */
export const STORM = scenario(
  "storm",
  `clients of a Shield with TLS (their own processes) that lose their connections
all at once and come back as the SDK does: after a random moment, and when the door is closed (503)
after its Retry-After. A steady publisher and subscriber go on beside them. Fails when somebody is not
back, or not in time, when the p99 of a handshake that was let in (TCP, TLS, upgrade, WELCOME) is not
below 100 ms, or when the p99 of the steady pair more than doubles.`,
  {
    clients: [10_000, ""],
    processes: [2, "processes of clients"],
    // One machine runs all clients with few cores, and their waiting for a core is not the Shield's delay.
    lanes: [128, "attempts under way at a time, all processes together"],
    handshakes: [2_500, "[limits] handshakes_per_second of the Shield"],
    burst: [1_000, "limits.handshake_burst"],
    rate: [200, "messages a second of the steady pair"],
    seconds: [10, "the steady pair alone, before the storm"],
    nice: ["19", "niceness of the clients, which are other machines in reality; 0: none"],
    websocket: ["", "[server] websocket; the default"],
    plain: [false, "without TLS"],
  },
  async ({ handshakes, burst, nice, websocket, plain, ...values }) => {
    const niceness = Number(nice);
    if (!(Number.isInteger(niceness) && niceness >= 0)) {
      throw new UsageError(`--nice expects a whole number, got ${JSON.stringify(nice)}`);
    }
    const limits = { handshakes_per_second: handshakes, handshake_burst: burst };
    const plan: StormPlan = {
      ...values,
      ...limits,
      nice: niceness,
      tls: !plain,
      socket_line: socketLine(websocket),
    };
    const round = await measuredBy<StormRound>(import.meta.url, plan);
    const figures = figuresOf(round, plan.clients);
    const promises = promisesOf(figures, round, navigator.hardwareConcurrency);
    const broken = promises.filter(({ kept }) => !kept).map(({ promise }) => promise);
    const { pair, spent } = round;
    return {
      report: { options: plan, figures, pair, spent, promises },
      table: [stormTable(figures, pair), doorTable(figures, round), promiseTable(promises)]
        .join("\n\n"),
      failure: broken.length === 0 ? undefined : `broken: ${broken.join("; ")}`,
    };
  },
);

if (import.meta.main) await answer(measure);
