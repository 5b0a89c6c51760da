/**
 * One soak run from its start to its verdict: a deployment, client processes, a steady load, and what
 * it came to. `main.ts` and the test call it.
 */
import { pace } from "../../shared/testing/pace.ts";
import { Hand } from "../load/crew.ts";
import type { Said } from "../load/crew.ts";
import { startDeployment, TENANTS } from "./deployment.ts";
import type { Deployment } from "./deployment.ts";
import { dealRooms, KINDS } from "./plan.ts";
import type { ClientPlan, Done, Ready, Report, Word } from "./plan.ts";
import { latenciesOf, rowOf } from "./verdict.ts";
import type { Measured, MemoryReading, Row } from "./verdict.ts";

/** What to do. */
export interface SoakPlan {
  readonly seconds: number;
  readonly connections: number;
  /** Messages a second, over all rooms. */
  readonly rate: number;
  /** Client processes. */
  readonly processes: number;
  readonly room_size: number;
  /** Connections a second that come and go. */
  readonly visits: number;
  /** A row of the table each. */
  readonly report_ms: number;
  /** Of `[server]` of the Shield; absent: none. */
  readonly server_lines?: string;
  /** Judge no times and no memory. */
  readonly counts_only: boolean;
  /** Added to the niceness of the clients, which are other machines in reality. */
  readonly nice: number;
  /** Hears the progress, line by line. */
  readonly say: (line: string) => void;
}

/** What came of it. */
export interface SoakOutcome extends Measured {
  /** Until every connection was subscribed. */
  readonly connecting_ms: number;
}

const USERS_PER_TENANT = 20;
const MEMORY_MS = 5_000;
/** Reports of one row come from different processes within this. */
const REPORTS_MS = 2_000;

async function tokensOf({ issuer }: Deployment): Promise<Record<string, string[]>> {
  const tokens: Record<string, string[]> = {};
  for (const tenant_id of TENANTS) {
    const users = Array.from({ length: USERS_PER_TENANT }, (_, user) => `user-${user}`);
    const claims = { tenant_id, exp: Math.floor(Date.now() / 1_000) + 86_400 };
    tokens[tenant_id] = await Promise.all(
      users.map((sub) => issuer.tokenFor({ ...claims, sub })),
    );
  }
  return tokens;
}

/** Reads the deployment's memory until the signal. */
async function watchMemory(
  deployment: Deployment,
  began_ms: number,
  every_ms: number,
  signal: AbortSignal,
): Promise<MemoryReading[]> {
  const readings: MemoryReading[] = [];
  while (!signal.aborted) {
    readings.push({ at_ms: performance.now() - began_ms, ...await deployment.memory() });
    await pace(every_ms);
  }
  return readings;
}

/** Puts reports of about one time together. */
class Rows {
  readonly rows: Row[] = [];
  #reports: Report[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #onRow: (row: Row) => void;
  began_ms = 0;

  constructor(onRow: (row: Row) => void) {
    this.#onRow = onRow;
  }

  hear(said: Said): void {
    if (said.kind !== "report") return;
    this.#reports.push(said as Report);
    this.#timer ??= setTimeout(() => this.flush(), REPORTS_MS);
  }

  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#reports.length === 0) return;
    const row = rowOf(performance.now() - this.began_ms, this.#reports);
    this.#reports = [];
    this.rows.push(row);
    this.#onRow(row);
  }
}

function describeRow(row: Row): string {
  const { at_ms, sent, received } = row;
  const all = latenciesOf([row]);
  const [p50, p99] = [0.5, 0.99].map((share) => all.quantile(share).toFixed(1));
  const kinds = KINDS.map((kind) =>
    `${kind} ${latenciesOf([row], [kind]).quantile(0.99).toFixed(1)}`
  );
  return `${(at_ms / 60_000).toFixed(1)} min: ${sent} sent, ${received} received, ` +
    `p50 ${p50} ms, p99 ${p99} ms (${kinds.join(", ")})`;
}

function plansOf(
  plan: SoakPlan,
  { hostname, port }: Deployment,
  tokens: Record<string, string[]>,
): ClientPlan[] {
  const hands = dealRooms(plan.connections, plan.processes, plan.room_size, TENANTS);
  return hands.map((rooms, index) => ({
    hostname,
    port,
    tokens,
    rooms,
    rate: plan.rate / plan.processes,
    visits: plan.visits / plan.processes,
    local_address: `127.0.0.${index + 2}`,
    report_ms: plan.report_ms,
  }));
}

async function drive(
  plan: SoakPlan,
  deployment: Deployment,
  hands: readonly Hand[],
  rows: Rows,
): Promise<Pick<Measured, "done" | "memory">> {
  const tell = (word: Word["word"]) => hands.forEach((hand) => hand.tell({ word }));
  const watching = new AbortController();
  rows.began_ms = performance.now();
  tell("go");
  const every_ms = Math.min(MEMORY_MS, plan.seconds * 100);
  const memory = watchMemory(deployment, rows.began_ms, every_ms, watching.signal);
  // A client process that ends says why, at once.
  const ended = Promise.all(hands.map((hand) => hand.said<Done>("done")));
  ended.catch(() => {});
  await Promise.race([pace(plan.seconds * 1_000), ended]);
  watching.abort();
  tell("stop");
  const done = await ended;
  rows.flush();
  return { done, memory: await memory };
}

/** Runs it all. Rejects when a process does not start or a client process fails. */
export async function runSoak(plan: SoakPlan): Promise<SoakOutcome> {
  const { say, connections, counts_only } = plan;
  await using deployment = await startDeployment(plan.server_lines);
  await using owned = new AsyncDisposableStack();
  const rows = new Rows((row) => say(describeRow(row)));
  say("NATS, Brain and Shield are ready, policies and schema in force");
  const began_ms = performance.now();
  const tokens = await tokensOf(deployment);
  const hands = plansOf(plan, deployment, tokens).map((one) => (
    owned.use(
      new Hand("tests/soak/client_main.ts", one, {
        onSaid: (said) => rows.hear(said),
        nice: plan.nice,
      }),
    )
  ));
  await Promise.all(hands.map((hand) => hand.said<Ready>("ready")));
  const connecting_ms = performance.now() - began_ms;
  const open = await deployment.connections();
  say(`${open} connections after ${(connecting_ms / 1_000).toFixed(1)} s; the load begins`);
  const { done, memory } = await drive(plan, deployment, hands, rows);
  const bugs = [...deployment.bugs(), ...await deployment.refusals()];
  if (open !== connections) bugs.push(`the Shield counts ${open} connections, not ${connections}`);
  return { rows: rows.rows, memory, done, connections, counts_only, bugs, connecting_ms };
}
