/**
 * The servers that a storm hits, each in a process of its own: a Shield, or bare Deno as the limit.
 * `storm_child.ts` makes the storm.
 */
import { type Issuer, startServer } from "../../tests/harness/cluster.ts";
import { Scrape } from "../measure/scrape.ts";
import { ROOT } from "../measure/scenario.ts";
import type { BarePlan, BareReady, BareSpent } from "./storm_bare_child.ts";
import type { StormPlan } from "./storm.ts";
import { startProgram } from "../measure/line_program.ts";
import { waitedSeconds } from "../measure/usage.ts";

/** The Shield's own figures of a storm. */
export interface DoorReport {
  /** Number of upgrades that it accepted in the storm. */
  readonly accepted: number;
  readonly refused: number;
  /** Upper bound of the p99 from an upgrade request to its 101, by the histogram's buckets. */
  readonly answered_p99_ms: number;
  readonly cache_hits: number;
  readonly cache_misses: number;
}

/** The resources that a storm cost the server. */
export interface Spent {
  readonly cpu_seconds: number;
  /** Time in which its main thread was ready and had no core, as Linux reports it; absent elsewhere. */
  readonly waited_seconds?: number;
  /** Absent for bare Deno, which counts nothing. */
  readonly door?: DoorReport;
}

/** A running server. Disposing of it ends the server. */
export interface StormTarget extends AsyncDisposable {
  /** Address of the server: `http(s)://host:port`. */
  readonly url: string;
  /** Begins to measure. Calling the function with which it resolves ends that. */
  measure(): Promise<() => Promise<Spent>>;
}

const CERT = `${ROOT}/tests/tls/server.pem`;
const KEY = `${ROOT}/tests/tls/server_key.pem`;

/** Measures what a process spends, together with its waits for a core. */
async function withWaits(pid: number, spent: () => Promise<Spent>): Promise<() => Promise<Spent>> {
  const before = await waitedSeconds(pid);
  return async () => {
    const after = await waitedSeconds(pid);
    const known = before !== undefined && after !== undefined;
    return { ...await spent(), ...(known ? { waited_seconds: after - before } : {}) };
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
  if (plan.tls) lines.push(`tls_cert = "${CERT}"`, `tls_key = "${KEY}"`);
  return lines.join("\n");
}

async function scrape(ops_url: string): Promise<Scrape> {
  return new Scrape(await (await fetch(`${ops_url}/metrics`)).text());
}

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
  const door = {
    accepted,
    refused: grown("shield_admission_refusals_total"),
    answered_p99_ms: Number(bucket ?? Infinity) * 1_000,
    cache_hits: grown("shield_token_cache_hits_total"),
    cache_misses: grown("shield_token_cache_misses_total"),
  };
  return { cpu_seconds: grown("process_cpu_seconds_total"), door };
}

/** Starts a Shield with the limits of the plan, which accepts the tokens of the issuer. */
export async function startShield(plan: StormPlan, issuer: Issuer): Promise<StormTarget> {
  const config = configOf(plan, issuer);
  const shield = await startServer("shield", config, issuer.dir, serverLines(plan));
  const { url = "", ops_url = "" } = shield.ready;
  return {
    url,
    async measure() {
      const before = await scrape(ops_url);
      return await withWaits(shield.pid, async () => spentOf(before, await scrape(ops_url)));
    },
    [Symbol.asyncDispose]: () => shield[Symbol.asyncDispose](),
  };
}

/** Starts Deno's own server, which admits everybody. */
export async function startBare(plan: StormPlan): Promise<StormTarget> {
  const bare = startProgram("bench/storm/storm_bare_child.ts", { flags: ["--allow-net"] });
  const tls = { cert: await Deno.readTextFile(CERT), key: await Deno.readTextFile(KEY) };
  await bare.say((plan.tls ? { tls } : {}) satisfies BarePlan);
  const { url } = await bare.hear<BareReady>();
  const spent = async () => {
    await bare.say("spent");
    return (await bare.hear<BareSpent>()).cpu_seconds;
  };
  return {
    url,
    async measure() {
      const before = await spent();
      return await withWaits(bare.pid, async () => ({ cpu_seconds: await spent() - before }));
    },
    [Symbol.asyncDispose]: () => bare[Symbol.asyncDispose](),
  };
}
