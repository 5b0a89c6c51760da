/**
 * The scenario of `deno task bench start`: the time from the beginning of a Shield's process until it answers that
 * it lives, is ready, serves a tenant that asks from the first moment on, and has everything in force, with nothing
 * stored, with many modules and with many tenants. A real Shield on a real NATS.
 */
import { SERVER_FLAGS } from "../../shared/process/deno_command.ts";
import { openSpine } from "../../shared/spine/open.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import {
  emptySettings,
  encodeSettings,
  TENANTS_BUCKET,
} from "../../shared/records/tenant_settings.ts";
import { configFrom } from "../../shared/config/load.ts";
import { TenantRoomClass } from "../../shared/config/schema_durable.ts";
import { withPolicy } from "../../shield/policy/chain/chain.ts";
import { openPolicyStore } from "../../shield/policy/chain/store.ts";
import { createIssuer, type Issuer } from "../../tests/harness/cluster.ts";
import { freePorts } from "../../tests/harness/free_ports.ts";
import { startNats } from "../../tests/harness/nats_server.ts";
import { errorLog } from "../measure/brains.ts";
import { answer, measuredBy } from "../measure/program.ts";
import { ROOT, scenario } from "../measure/scenario.ts";
import { median } from "../measure/statistics.ts";
import { renderTable } from "../measure/table.ts";
import { example, variant } from "../policy/policy_rows.ts";

/** The plan of the measurement. */
interface StartPlan {
  /** Number of tenants with a module of their own each. */
  readonly modules: number;
  /** Number of tenants with settings and a policy, all of one module. */
  readonly tenants: number;
  /** Number of starts of each kind. */
  readonly rounds: number;
}

/** The kind of start, by what is stored. */
type StartCase = "nothing" | "modules, first start" | "modules" | "tenants";

/** The times of one start, in ms since its process began. */
interface StartRound {
  readonly kind: StartCase;
  readonly live_ms: number;
  readonly ready_ms: number;
  /**
   * Time of the first message of a tenant that asks from the first moment on; undefined where no tenant has a
   * policy.
   */
  readonly served_ms: number | undefined;
  /** Time when everything stored is in force. */
  readonly in_force_ms: number;
  readonly rss_bytes: number;
}

const DEADLINE_MS = 1_800_000;
/** Pause between two requests, which is the precision of the measurement. */
const PAUSE_MS = 10;
/** Pause between two pages of metrics, which cost more than a probe. */
const PAGE_PAUSE_MS = 100;
const AUTHOR = { by: "bench", at_ms: 0 };
/** Writes that are under way while the stores are filled. */
const WRITERS = 32;

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const tenantOf = (kind: string, index: number) => `${kind}-${index}`;

async function inParallel(count: number, work: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: WRITERS }, worker));
}

/** Stores `count` tenants, each with a policy: all of one module, or each of its own. */
async function fill(spine: Spine, kind: string, count: number, has_own: boolean): Promise<void> {
  const store = await openPolicyStore(spine);
  const settings = await spine.keyValue(TENANTS_BUCKET);
  const module = await example("bad_words");
  const common = has_own ? "" : await store.putModule(module);
  const rooms = [TenantRoomClass.parse({ room: "kept-*", durable: true })];
  const own_settings = { ...emptySettings(), version: 1, rooms };
  await inParallel(count, async (index) => {
    const tenant = tenantOf(kind, index);
    const sha256 = has_own ? await store.putModule(variant(module, tenant)) : common;
    const rest = { room: "*", hooks: ["on_message" as const], order: 0, percent: 1 };
    const binding = { name: "words", sha256, mode: "enforce" as const, ...rest };
    await store.change(tenant, (document) => withPolicy(document, binding, AUTHOR));
    if (has_own) return;
    await settings.put([tenant], encodeSettings(own_settings));
  });
}

/** Asks until `use` returns something. Resolves with that and the time. */
async function until<T>(
  url: string,
  init: RequestInit,
  use: (response: Response) => Promise<T | undefined>,
  pause_ms = PAUSE_MS,
): Promise<{ readonly at_ms: number; readonly value: T }> {
  const deadline_ms = performance.now() + DEADLINE_MS;
  while (performance.now() < deadline_ms) {
    try {
      const value = await use(await fetch(url, init));
      if (value !== undefined) return { at_ms: performance.now(), value };
    } catch (error) {
      // The Shield does not listen yet.
      if (!(error instanceof TypeError)) throw error;
    }
    await pause(pause_ms);
  }
  throw new Error(`${url}: not within ${DEADLINE_MS} ms`);
}

const isOk = async (response: Response) => {
  await response.body?.cancel();
  return response.status === 200 ? true : undefined;
};

/** The memory of a Shield in which everything is in force; undefined before. */
async function whenInForce(response: Response, tenants: number): Promise<number | undefined> {
  const page = await response.text();
  const value = (name: string) =>
    Number(new RegExp(`^${name} (\\S+)$`, "m").exec(page)?.[1] ?? NaN);
  const active = value('shield_policy_tenants\\{state="active"\\}');
  return active === tenants ? value("process_resident_memory_bytes") : undefined;
}

interface Ground {
  readonly issuer: Issuer;
  readonly nats_url: string;
}

function configOf({ issuer, nats_url }: Ground, [port, ops_port]: readonly number[]): string {
  return `[server]\nhost = "127.0.0.1"\nport = ${port}\n[ops]\nhost = "127.0.0.1"\n` +
    `port = ${ops_port}\n[admin]\nport = 0\noperator_tenants = ["*"]\n[log]\nlevel = "error"\n` +
    `[nats]\nurls = ["${nats_url}"]\n${issuer.config}`;
}

async function start(
  ground: Ground,
  kind: StartCase,
  tenants: number,
  asks: string | undefined,
): Promise<StartRound> {
  const ports = freePorts(2);
  const file = `${ground.issuer.dir}/shield.toml`;
  await Deno.writeTextFile(file, configOf(ground, ports));
  const token = await ground.issuer.tokenFor({ tenant_id: asks ?? "nobody" });
  const permissions = [`--allow-run=${Deno.execPath()}`, "--allow-net", "--allow-read"];
  const flags = [...SERVER_FLAGS, "--ignore-env", ...permissions];
  const began_ms = performance.now();
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", ...flags, `${ROOT}/shield/main.ts`, "--config", file],
    stdin: "null",
    stdout: "null",
    stderr: "inherit",
  }).spawn();
  try {
    const [client, ops] = ports.map((port) => `http://127.0.0.1:${port}`);
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    const message = { method: "POST", headers, body: '{"type":"t","data":"clean"}' };
    const [live, ready, served, in_force] = await Promise.all([
      until(`${ops}/health/live`, {}, isOk),
      until(`${ops}/health/ready`, {}, isOk),
      asks === undefined ? undefined : until(`${client}/v1/rooms/lobby/messages`, message, isOk),
      until(`${ops}/metrics`, {}, (page) => whenInForce(page, tenants), PAGE_PAUSE_MS),
    ]);
    const since = (at_ms: number) => at_ms - began_ms;
    return {
      kind,
      live_ms: since(live.at_ms),
      ready_ms: since(ready.at_ms),
      served_ms: served && since(served.at_ms),
      in_force_ms: since(Math.max(ready.at_ms, in_force.at_ms)),
      rss_bytes: in_force.value,
    };
  } finally {
    child.kill("SIGTERM");
    await child.status;
  }
}

/** Fills a NATS of its own and measures the first of `kinds` once, the others `rounds` times. */
async function measureKinds(
  issuer: Issuer,
  kinds: readonly StartCase[],
  rounds: number,
  stored: { readonly name: string; readonly count: number; readonly has_own: boolean },
): Promise<StartRound[]> {
  await using nats = await startNats({ jetstream: true });
  const ground = { issuer, nats_url: nats.url };
  const { name, count, has_own } = stored;
  if (count > 0) {
    const config = configFrom({ nats: { urls: [nats.url] } });
    const spine = await openSpine(config, { log: errorLog("bench"), now: Date.now });
    await fill(spine, name, count, has_own);
    await spine.drain();
  }
  const results: StartRound[] = [];
  // The tenant that was written last, whose turn comes last when tenants are made ready in order.
  const asks = count === 0 ? undefined : tenantOf(name, count - 1);
  for (const kind of kinds) {
    const times = kind === "modules, first start" ? 1 : rounds;
    for (let round = 0; round < times; round++) {
      console.error(`start: ${kind}, ${round + 1} of ${times} ...`);
      results.push(await start(ground, kind, count, asks));
    }
  }
  return results;
}

async function measureAll({ modules, tenants, rounds }: StartPlan): Promise<StartRound[]> {
  const issuer = await createIssuer();
  try {
    const nothing = { name: "none", count: 0, has_own: false };
    const own = { name: "own", count: modules, has_own: true };
    const many = { name: "tenant", count: tenants, has_own: false };
    return [
      ...await measureKinds(issuer, ["nothing"], rounds, nothing),
      ...await measureKinds(issuer, ["modules, first start", "modules"], rounds, own),
      ...await measureKinds(issuer, ["tenants"], rounds, many),
    ];
  } finally {
    await Deno.remove(issuer.dir, { recursive: true });
  }
}

const NAMES: Readonly<Record<StartCase, (plan: StartPlan) => string>> = {
  "nothing": () => "nothing stored",
  "modules, first start": ({ modules }) => `${modules} modules, never compiled before`,
  "modules": ({ modules }) => `${modules} modules, compiled by an earlier start`,
  "tenants": ({ tenants }) => `${tenants} tenants, one module`,
};

/** The table of the medians, one row for each kind of start. */
function render(rounds: readonly StartRound[], plan: StartPlan): string {
  const kinds = Object.keys(NAMES) as StartCase[];
  const of = (kind: StartCase) => rounds.filter((round) => round.kind === kind);
  const seconds =
    (key: "live_ms" | "ready_ms" | "served_ms" | "in_force_ms") => (kind: StartCase) =>
      median(of(kind).map((round) => (round[key] ?? NaN) / 1_000));
  return renderTable(kinds, [
    ["start of a Shield, s", (kind) => NAMES[kind](plan)],
    ["starts", (kind) => of(kind).length],
    ["lives", seconds("live_ms"), 2],
    ["ready", seconds("ready_ms"), 2],
    ["serves who asks", seconds("served_ms"), 2],
    ["all in force", seconds("in_force_ms"), 2],
    ["RSS MB", (kind) => median(of(kind).map(({ rss_bytes }) => rss_bytes / 1e6))],
  ]);
}

/** The scenario with starts of real Shields. */
export const START = scenario(
  "start",
  "how long a Shield takes to start on a NATS that holds policies",
  {
    modules: [500, "tenants with a module of their own each"],
    tenants: [10_000, "tenants with a policy of one module, and settings"],
    rounds: [3, "starts of each kind, but for the first of all modules"],
  },
  async (plan) => {
    const rounds = await measuredBy<StartRound[]>(import.meta.url, plan);
    return { report: { plan, rounds }, table: render(rounds, plan) };
  },
);

if (import.meta.main) await answer(measureAll);
