/**
 * One load run from start to verdict: several Shields on one machine, and far more connections than one process can
 * hold, which connect, are idle, receive broadcasts and are disconnected. `main.ts` and the test call it; the
 * connections are those of the benchmarks' load generator.
 */
import { type LoadReport, openLoad } from "../../bench/load/crowd/driver.ts";
import { oneRoom } from "../../bench/load/plans/plan.ts";
import { LIMITS } from "../../bench/load/targets/target_arqon.ts";
import { pace } from "../../shared/testing/pace.ts";
import { becomes } from "../../shared/testing/until.ts";
import { createIssuer, startServer } from "../harness/cluster.ts";
import { startNats } from "../harness/nats_server.ts";
import { errorsIn, samplesOf } from "../harness/server_state.ts";
import { fileLimit, spreadOver } from "./file_limit.ts";

/** What to do. */
export interface LoadPlan {
  readonly connections: number;
  /** Processes of one Shield on one port; the number of client processes is the same. */
  readonly processes: number;
  /** Lines for `[server]` of the Shield. */
  readonly server_lines?: string;
  readonly idle_seconds: number;
  /** One per second. */
  readonly broadcasts: number;
  /** Called with progress, line by line. */
  readonly say: (line: string) => void;
}

/** The outcome. */
export interface LoadOutcome {
  readonly report: LoadReport;
  readonly figures: readonly (readonly [what: string, figure: string])[];
  /** Promises that do not hold; empty if all do. */
  readonly problems: readonly string[];
}

const USERS = 50;
const DROP_MS = 120_000;
const IDLE_LINE_MS = 60_000;
/** docs/architecture.md#promises: 10,000 idle connections of a Shield in less than this. */
const IDLE_CONNECTIONS = 10_000;
const IDLE_BYTES = 1_000_000_000;

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;

/** A metric of the Shield, summed over its processes and labels. */
async function sumOf(ops_url: string | undefined, name: string): Promise<number> {
  const all = [...await samplesOf(ops_url)].filter(([key]) => key.split("{")[0] === name);
  return all.reduce((sum, [, value]) => sum + value, 0);
}

/** The Shield, as the load generator reaches it. */
async function startShield({ processes, server_lines = "" }: LoadPlan) {
  await using owned = new AsyncDisposableStack();
  const issuer = owned.use(await createIssuer());
  const nats = owned.use(await startNats({ jetstream: true }));
  const config = `[nats]\nurls = ["${nats.url}"]\n${LIMITS}${issuer.config}`;
  const lines = `host = "0.0.0.0"\n${server_lines}`;
  const args = ["--processes", String(processes)];
  const shield = owned.use(await startServer("shield", config, issuer.dir, lines, { args }));
  const exp = Math.floor(Date.now() / 1_000) + 86_400;
  const tokens = await Promise.all(
    Array.from({ length: USERS }, (_, user) => issuer.tokenFor({ sub: `user-${user}`, exp })),
  );
  const { port } = new URL(shield.ready["url"] ?? "");
  // An address of clients has some 28,000 ports to each address of the server.
  const urls = Array.from(
    { length: processes + 1 },
    (_, at) => `ws://127.0.0.${at + 1}:${port}/v1/socket`,
  );
  const stack = owned.move();
  return {
    shield,
    open: () => sumOf(shield.ready["ops_url"], "shield_active_connections"),
    memory: () => sumOf(shield.ready["ops_url"], "process_resident_memory_bytes"),
    target: {
      version: "",
      pids: [shield.pid],
      wire: { protocol: "arqon", url: urls[0]!, urls, tokens },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    } as const,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

type Started = Awaited<ReturnType<typeof startShield>>;

async function idle({ idle_seconds, say }: LoadPlan, { open }: Started): Promise<void> {
  const end_ms = performance.now() + idle_seconds * 1_000;
  while (performance.now() < end_ms) {
    await pace(Math.min(IDLE_LINE_MS, end_ms - performance.now()));
    say(`idle: ${await open()} connections open`);
  }
}

/** They connect, are idle, receive broadcasts and are disconnected. */
async function perform(plan: LoadPlan, bus: Started) {
  const { processes, broadcasts, say } = plan;
  const before = await bus.memory();
  const began_ms = performance.now();
  const groups = oneRoom("news", 1, plan.connections, false);
  await using load = await openLoad(bus.target, { groups, processes, echo: false });
  const connecting_ms = performance.now() - began_ms;
  const connected = await bus.open();
  const full = await bus.memory();
  say(`${connected} connections after ${(connecting_ms / 1_000).toFixed(1)} s`);
  await idle(plan, bus);
  const idle_bytes = await bus.memory();
  const report = await load.run({
    pace: { kind: "rate", rate: 1, burst: 1 },
    sizes_bytes: [64],
    // The publisher's process is the last one, and begins that many seconds later than the first.
    warmup_seconds: 0,
    seconds: processes + broadcasts,
  });
  say(`${report.sent} broadcasts: ${report.received} of ${report.expected} deliveries`);
  return { before, connecting_ms, connected, full, idle_bytes, report, left: await bus.open() };
}

/** Runs everything. Rejects with RangeError if the system's limits are too low. */
export async function runLoad(plan: LoadPlan): Promise<LoadOutcome> {
  const { connections, processes } = plan;
  const { problem } = spreadOver(connections, processes, await fileLimit());
  if (problem !== undefined) throw new RangeError(problem);
  await using bus = await startShield(plan);
  const seen = await perform(plan, bus);
  const dropped_ms = performance.now();
  const gone = await becomes(async () => await bus.open() === 0, DROP_MS);
  const dropping_ms = performance.now() - dropped_ms;
  const { before, connected, report } = seen;
  const each_bytes = (seen.idle_bytes - before) / connected;
  const many_bytes = before / processes + IDLE_CONNECTIONS * each_bytes;
  // The publisher is an additional one.
  const wanted = connections + 1;
  const problems = [
    ...(connected === wanted ? [] : [`${connected} of ${wanted} are connected`]),
    ...(seen.left === wanted ? [] : [`${seen.left} of ${wanted} are connected in the end`]),
    ...(report.missing === 0 ? [] : [`${report.missing} deliveries are missing`]),
    ...(gone ? [] : ["some process still counts connections that are gone"]),
    ...(many_bytes < IDLE_BYTES
      ? []
      : [`a Shield with ${IDLE_CONNECTIONS} idle connections would take ${megabytes(many_bytes)}`]),
    ...report.problems,
    ...errorsIn(bus.shield.log()),
  ];
  const { p50_ms, p99_ms, max_ms } = report.latency;
  const seconds = seen.connecting_ms / 1_000;
  const ms = [p50_ms, p99_ms, max_ms].map((one) => one.toFixed(0));
  const figures = [
    ["connections", `${connected} over ${processes} processes on one port`],
    ["connecting", `${seconds.toFixed(1)} s, ${(connected / seconds).toFixed(0)} a second`],
    ["memory before", megabytes(before)],
    ["memory connected", megabytes(seen.full)],
    [`memory after ${plan.idle_seconds} s idle`, megabytes(seen.idle_bytes)],
    ["memory a connection", `${(each_bytes / 1e3).toFixed(1)} KB`],
    ["broadcasts", `p50 ${ms[0]} ms, p99 ${ms[1]} ms, last ${ms[2]} ms`],
    ["drop of all", gone ? `noticed in ${(dropping_ms / 1_000).toFixed(1)} s` : "NOT noticed"],
    ["memory after it", megabytes(await bus.memory())],
  ] as const;
  return { report, figures, problems };
}
