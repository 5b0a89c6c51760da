/**
 * The scenario `flood`: how long a clean client hears nothing while another client sends at full speed, for
 * each kind of client sockets, each kind of flood, and default and tight limits. `flood_child.ts` floods, in
 * a process of its own.
 */
import type { FloodEffect } from "../load/goals.ts";
import { niceness, startProgram } from "../measure/line_program.ts";
import type { Program } from "../measure/line_program.ts";
import type { Flood, FloodPlan } from "./flood_child.ts";
import {
  positive,
  ROOT,
  type Scenario,
  type ScenarioResult,
  text,
  UsageError,
} from "../measure/scenario.ts";
import type { OptionValues } from "../measure/scenario.ts";
import { renderRows } from "../measure/table.ts";
import { waitedSeconds } from "../measure/usage.ts";
import { openOnBus, startBus } from "../measure/targets.ts";
import type { BusProcess } from "../measure/targets.ts";

/** As the clients of `storm`: on two cores it would otherwise take turns with the clean client, which no Shield can help. */
const FLOOD_NICE = 19;

const HELP =
  `flood: a clean client beside one that sends at full speed and comes back when it is cut off.
Fails when the clean client hears nothing for longer than --silence ms. The flooding client, which is another
machine in reality, gives way to the others at nice ${FLOOD_NICE}. How long the clean client and the Shield
waited for a core, in ms a second, is this machine's part in the p99.

  --websocket LIST  kinds of client sockets, with commas (native,own)
  --floods LIST     of small,big,echo,pings,ws-pings,fragments,garbage,http,batch,bombs (all)
  --limits LIST     default and tight: 100 messages and 100 KB a second, 50 refusals (default,tight)
  --seconds N       of each (4)
  --silence N       ms that the clean client may hear nothing (250)
`;

const KINDS = ["native", "own"];
const FLOODS: readonly Flood[] = [
  "small",
  "big",
  "echo",
  "pings",
  "ws-pings",
  "fragments",
  "garbage",
  "http",
  "batch",
  "bombs",
];
const LIMITS: Readonly<Record<string, string>> = {
  default: "",
  tight: "messages_per_second = 100\nbytes_per_second = 100_000\nrate_refusals = 50\n" +
    "user_messages_per_second = 1_000\n",
};
/** Pause in ms between the clean client's messages. */
const BEAT_MS = 5;
const BODY = new Uint8Array(64);

/** The result of one flood. */
export interface FloodRow {
  readonly websocket: string;
  readonly limits: string;
  readonly flood: Flood | "none";
  /** Longest time between two echoes. */
  readonly silence_ms: number;
  readonly p99_ms: number;
  /** How long the main threads of this process and of the Shield waited for a core, in ms a second. */
  readonly client_waited_ms: number;
  readonly shield_waited_ms: number;
  readonly flooded_megabytes: number;
  readonly connections: number;
}

interface Clean {
  /** Forgets everything that was heard before. */
  reset(): void;
  read(): { silence_ms: number; p99_ms: number };
  close(): void;
}

const pause = (wait_ms: number) => new Promise((resolve) => setTimeout(resolve, wait_ms));

/** Starts a client that sends a message every 5 ms, whatever has come back. */
async function cleanClient(bus: BusProcess): Promise<Clean> {
  let [heard_ms, silence_ms] = [performance.now(), 0];
  let took_ms: number[] = [];
  const sent: number[] = [];
  const connection = await openOnBus(bus.url, bus.token, 0, () => {
    const now_ms = performance.now();
    silence_ms = Math.max(silence_ms, now_ms - heard_ms);
    heard_ms = now_ms;
    took_ms.push(now_ms - (sent.shift() ?? now_ms));
  });
  const timer = setInterval(() => {
    sent.push(performance.now());
    connection.send(BODY);
  }, BEAT_MS);
  return {
    reset() {
      silence_ms = 0;
      heard_ms = performance.now();
      took_ms = [];
    },
    read() {
      took_ms.sort((a, b) => a - b);
      const p99_ms = took_ms[Math.floor(took_ms.length * 0.99)] ?? Infinity;
      return { silence_ms: Math.max(silence_ms, performance.now() - heard_ms), p99_ms };
    },
    close() {
      clearInterval(timer);
      connection.close();
    },
  };
}

/** Begins to measure how long these processes wait for a core; the function gives it in ms a second each. */
async function waits(pids: readonly number[]): Promise<() => Promise<number[]>> {
  const all = () => Promise.all(pids.map(waitedSeconds));
  const [before, began_ms] = [await all(), performance.now()];
  return async () => {
    const seconds = (performance.now() - began_ms) / 1_000;
    const after = await all();
    return after.map((now = NaN, at) => (now - (before[at] ?? NaN)) * 1_000 / seconds);
  };
}

/**
 * Measures one flood. A token of another tenant's user would change nothing, since rates belong to
 * connections.
 */
async function flooded(
  bus: BusProcess,
  clean: Clean,
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
    await child.hear();
    (async () => {
      for (;;) last = await child.hear();
    })().catch(() => {});
  }
  const waited = await waits([Deno.pid, bus.pid]);
  clean.reset();
  await pause(seconds * 1_000);
  const heard = clean.read();
  const [client_waited_ms = NaN, shield_waited_ms = NaN] = await waited();
  await child?.[Symbol.asyncDispose]();
  await pause(500);
  return {
    ...about,
    flood,
    ...heard,
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
  const file = `${ROOT}/.arqon/flood_${about.websocket}_${about.limits}.toml`;
  const deflate = about.websocket === "own" ? "permessage_deflate = true\n" : "";
  await Deno.mkdir(`${ROOT}/.arqon`, { recursive: true });
  await Deno.writeTextFile(
    file,
    `[server]\nhost = "127.0.0.1"\nwebsocket = "${about.websocket}"\n${deflate}` +
      `[ops]\nhost = "127.0.0.1"\n[limits]\nhandshakes_per_second = 1_000\n${LIMITS[about.limits]}`,
  );
  const rows: FloodRow[] = [];
  for (const flood of ["none" as const, ...floods]) {
    if (flood === "bombs" && deflate === "") continue;
    // Each flood has its own clean client and bus, so that it does not feel what another flood left behind.
    await using bus = await startBus(file);
    const clean = await cleanClient(bus);
    await pause(500);
    rows.push(await flooded(bus, clean, about, flood, seconds));
    clean.close();
  }
  await Deno.remove(file);
  return rows;
}

/** What each flood does to the clean client's p99, in that without a flood on the same sockets and limits. */
export function floodEffects(rows: readonly FloodRow[]): FloodEffect[] {
  return rows.filter(({ flood }) => flood !== "none").map(({ websocket, limits, p99_ms }) => {
    const calm = rows.find((one) =>
      one.flood === "none" && one.websocket === websocket && one.limits === limits
    );
    return { websocket, times: p99_ms / (calm?.p99_ms ?? NaN) };
  });
}

function inWords({ flood, p99_ms, client_waited_ms, shield_waited_ms }: FloodRow): string {
  return `${flood === "none" ? "alone" : "beside it"}: p99 ${
    p99_ms.toFixed(1)
  } ms; waited for a core: ` +
    `clean client ${client_waited_ms.toFixed(0)}, Shield ${
      shield_waited_ms.toFixed(0)
    } ms a second`;
}

/** One flood of small messages under the default limits, on each of these kinds of sockets. */
export async function floodOnce(
  kinds: readonly string[],
  seconds: number,
): Promise<FloodEffect[]> {
  const rows: FloodRow[] = [];
  for (const websocket of kinds) {
    console.error(`flood: small: ${websocket} ...`);
    const own = await rowsOf({ websocket, limits: "default" }, ["small"], seconds);
    for (const row of own) console.error(`  ${inWords(row)}`);
    rows.push(...own);
  }
  return floodEffects(rows);
}

/** The items of an option that lists names with commas. Throws for an unknown name. */
function listed<T extends string>(values: OptionValues, name: string, known: readonly T[]): T[] {
  const items = String(values[name]).split(",");
  const odd = items.find((item) => !(known as readonly string[]).includes(item));
  if (odd !== undefined) {
    throw new UsageError(
      `--${name} expects some of ${known.join(",")}, got ${JSON.stringify(odd)}`,
    );
  }
  return items as T[];
}

async function run(values: OptionValues): Promise<ScenarioResult> {
  const seconds = positive(values, "seconds");
  const silence_ms = positive(values, "silence");
  const floods = listed(values, "floods", FLOODS);
  const all: FloodRow[] = [];
  for (const websocket of listed(values, "websocket", KINDS)) {
    for (const limits of listed(values, "limits", Object.keys(LIMITS))) {
      console.error(`${websocket}, ${limits} limits ...`);
      all.push(...await rowsOf({ websocket, limits }, floods, seconds));
    }
  }
  const table = renderRows(
    [
      "sockets",
      "limits",
      "flood",
      "worst silence ms",
      "p99 ms",
      "client waited ms/s",
      "Shield waited",
      "MB sent",
      "connections",
    ],
    all.map((row) => [
      row.websocket,
      row.limits,
      row.flood,
      row.silence_ms.toFixed(0),
      row.p99_ms.toFixed(1),
      row.client_waited_ms.toFixed(0),
      row.shield_waited_ms.toFixed(0),
      row.flooded_megabytes.toFixed(0),
      String(row.connections),
    ]),
  );
  const over = all.filter((row) => row.silence_ms > silence_ms);
  const failure = over.length === 0 ? undefined : "the clean client heard nothing for too long: " +
    over.map(({ websocket, limits, flood }) => `${websocket} ${limits} ${flood}`).join(", ");
  return { report: { seconds, rows: all }, table, failure };
}

/** The scenario of `deno task bench flood`. */
export const FLOOD: Scenario = {
  name: "flood",
  help: HELP,
  options: {
    websocket: text(KINDS.join(",")),
    floods: text(FLOODS.join(",")),
    limits: text(Object.keys(LIMITS).join(",")),
    seconds: text("4"),
    silence: text("250"),
  },
  run,
};
