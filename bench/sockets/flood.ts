/**
 * The scenario `flood`: the longest time in which a clean client receives nothing while another client sends at full
 * speed, for each kind of client sockets, each kind of flood, and default and tight limits. `flood_child.ts` sends the
 * flood from a separate process.
 */
import type { FloodEffect } from "../load/goals.ts";
import { niceness, type Program, startProgram } from "../measure/line_program.ts";
import { type Flood, type FloodPlan, FLOODS } from "./flood_child.ts";
import { listed, scenario } from "../measure/scenario.ts";
import { renderTable } from "../measure/table.ts";
import { waitedSeconds } from "../measure/usage.ts";
import { type BusProcess, startConfigured } from "../measure/targets.ts";
import { SteadyPair } from "../load/crowd/steady.ts";
import { busTarget } from "../load/crowd/turns.ts";

/**
 * The same niceness as the clients of `storm`: on two cores the client would otherwise compete with the clean client,
 * which no Shield can prevent.
 */
const FLOOD_NICE = 19;

const KINDS = ["native", "own"];
const LIMITS: Readonly<Record<string, string>> = {
  default: "",
  tight:
    "messages_per_second = 100\nbytes_per_second = 100_000\n#constant limits.rate_refusals = 50\n" +
    "user_messages_per_second = 1_000\n",
};
/** Messages a second of the clean client. */
const RATE = 200;

interface FloodRow {
  readonly websocket: string;
  readonly limits: string;
  readonly flood: Flood | "none";
  /** Longest time without a message. */
  readonly silence_ms: number;
  readonly p99_ms: number;
  /** Time that the main threads of this process and of the Shield waited for a core, in ms per second. */
  readonly client_waited_ms: number;
  readonly shield_waited_ms: number;
  readonly flooded_megabytes: number;
  readonly connections: number;
}

const pause = (wait_ms: number) => new Promise((resolve) => setTimeout(resolve, wait_ms));

/**
 * Starts to measure the time that these processes wait for a core. The function returns it in ms per second for each.
 */
async function waits(pids: readonly number[]): Promise<() => Promise<number[]>> {
  const all = () => Promise.all(pids.map(waitedSeconds));
  const before = await all();
  const began_ms = performance.now();
  return async () => {
    const seconds = (performance.now() - began_ms) / 1_000;
    const after = await all();
    return after.map((now = NaN, at) => (now - (before[at] ?? NaN)) * 1_000 / seconds);
  };
}

/**
 * Measures one flood. A token of another tenant's user would change nothing, since rate limits belong to connections.
 */
async function flooded(
  bus: BusProcess,
  clean: SteadyPair,
  about: Pick<FloodRow, "websocket" | "limits">,
  flood: Flood | "none",
  seconds: number,
): Promise<FloodRow> {
  let last = { bytes: 0, connections: 0 };
  const plan = { url: bus.url, token: bus.token, flood } as FloodPlan;
  const child: Program | undefined = flood === "none" ? undefined : startProgram(
    "bench/sockets/flood_child.ts",
    { flags: ["--allow-net"], args: [JSON.stringify(plan)], before: niceness(FLOOD_NICE) },
  );
  if (child !== undefined) {
    await child.next();
    (async () => {
      for (;;) last = await child.next();
    })().catch(() => {});
  }
  const waited = await waits([Deno.pid, bus.pid]);
  clean.begin();
  await pause(seconds * 1_000);
  const { silence_ms, received, p99_ms } = clean.read().at(-1)!;
  const [client_waited_ms = NaN, shield_waited_ms = NaN] = await waited();
  await child?.[Symbol.asyncDispose]();
  await pause(500);
  return {
    ...about,
    flood,
    silence_ms,
    p99_ms: received === 0 ? Infinity : p99_ms,
    client_waited_ms,
    shield_waited_ms,
    flooded_megabytes: last.bytes / 1e6,
    connections: last.connections,
  };
}

async function rowsOf(
  about: Pick<FloodRow, "websocket" | "limits">,
  floods: readonly Flood[],
  seconds: number,
): Promise<FloodRow[]> {
  const deflate = about.websocket === "own" ? "permessage_deflate = true\n" : "";
  const config = `[server]\nhost = "127.0.0.1"\nwebsocket = "${about.websocket}"\n${deflate}` +
    `[ops]\nhost = "127.0.0.1"\n[limits]\nhandshakes_per_second = 1_000\n${LIMITS[about.limits]}`;
  const rows: FloodRow[] = [];
  for (const flood of ["none" as const, ...floods]) {
    if (flood === "bombs" && deflate === "") continue;
    // Each flood has a separate clean client and bus, so that an earlier flood has no effect on it.
    await using bus = await startConfigured(config);
    using clean = await SteadyPair.open(busTarget(bus, [bus.token]).wire, RATE, "sent");
    await pause(500);
    rows.push(await flooded(bus, clean, about, flood, seconds));
  }
  return rows;
}

/** The ratio of the clean client's p99 with each flood to its p99 without, on the same sockets and limits. */
export function floodEffects(rows: readonly FloodRow[]): FloodEffect[] {
  return rows.filter(({ flood }) => flood !== "none").map(({ websocket, limits, p99_ms }) => {
    const calm = rows.find((one) =>
      one.flood === "none" && one.websocket === websocket && one.limits === limits
    );
    return { websocket, times: p99_ms / (calm?.p99_ms ?? NaN) };
  });
}

function inWords({ flood, p99_ms, client_waited_ms, shield_waited_ms }: FloodRow): string {
  const p99 = p99_ms.toFixed(1);
  const client = client_waited_ms;
  const shield = shield_waited_ms;
  return `${flood === "none" ? "alone" : "beside it"}: p99 ${p99} ms; waited for a core: ` +
    `clean client ${client.toFixed(0)}, Shield ${shield.toFixed(0)} ms a second`;
}

/** One flood of small messages under the default limits, on each of these kinds of sockets. */
export async function floodOnce(kinds: readonly string[], seconds: number): Promise<FloodEffect[]> {
  const rows: FloodRow[] = [];
  for (const websocket of kinds) {
    console.error(`flood: small: ${websocket} ...`);
    const own = await rowsOf({ websocket, limits: "default" }, ["small"], seconds);
    for (const row of own) console.error(`  ${inWords(row)}`);
    rows.push(...own);
  }
  return floodEffects(rows);
}

/** The scenario of `deno task bench flood`. */
export const FLOOD = scenario(
  "flood",
  `a clean client beside one that sends at full speed and comes back when it is cut off.
Fails when the clean client hears nothing for longer than --silence ms. The flooding client, which is another
machine in reality, gives way to the others at nice ${FLOOD_NICE}. How long the clean client and the Shield
waited for a core, in ms a second, is this machine's part in the p99. Tight limits: 100 messages and 100 KB
a second, 50 refusals.`,
  {
    websocket: [KINDS.join(","), "kinds of client sockets"],
    floods: [FLOODS.join(","), ""],
    limits: [Object.keys(LIMITS).join(","), ""],
    seconds: [4, "of each"],
    silence: [250, "ms that the clean client may hear nothing"],
  },
  async ({ websocket: kinds, floods: list, limits: kinds_of_limits, seconds, silence }) => {
    const floods = listed("floods", list, FLOODS);
    const rows: FloodRow[] = [];
    for (const websocket of listed("websocket", kinds, KINDS)) {
      for (const limits of listed("limits", kinds_of_limits, Object.keys(LIMITS))) {
        console.error(`${websocket}, ${limits} limits ...`);
        rows.push(...await rowsOf({ websocket, limits }, floods, seconds));
      }
    }
    const over = rows.filter((row) => row.silence_ms > silence);
    const where = over.map(({ websocket, limits, flood }) => `${websocket} ${limits} ${flood}`);
    return {
      report: { seconds, rows },
      table: renderTable(rows, [
        ["sockets", ({ websocket }) => websocket],
        ["limits", ({ limits }) => limits],
        ["flood", ({ flood }) => flood],
        ["worst silence ms", ({ silence_ms }) => silence_ms],
        ["p99 ms", ({ p99_ms }) => p99_ms, 1],
        ["client waited ms/s", ({ client_waited_ms }) => client_waited_ms],
        ["Shield waited", ({ shield_waited_ms }) => shield_waited_ms],
        ["MB sent", ({ flooded_megabytes }) => flooded_megabytes],
        ["connections", ({ connections }) => connections],
      ]),
      failure: where.length === 0
        ? undefined
        : `the clean client heard nothing for too long: ${where.join(", ")}`,
    };
  },
);
