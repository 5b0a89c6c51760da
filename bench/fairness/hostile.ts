/**
 * The scenario `hostile`: the latency of one tenant's messages alone, and while other tenants do their worst
 * with every module of `tests/peers/hostile_modules.ts`. They send messages through those that load, or have
 * an admin upload and deploy all of them, each time as a new module. The measured tenant either has a policy
 * of its own, and so shares the policy workers with them, or has none.
 */
import type { TestBus } from "../../tests/harness/bus.ts";
import { startBus } from "../../tests/harness/bus.ts";
import { HOSTILE_NAMES } from "../../tests/peers/hostile_modules.ts";
import { policyAdmin } from "../../tests/peers/policy_admin.ts";
import type { HostileMode, HostileOrder, HostileReport } from "./hostile_driver.ts";
import { loadOptions, openLoop } from "../measure/open_loop.ts";
import type { LoadOptions, LoadResult } from "../measure/open_loop.ts";
import {
  failureOfLost,
  positive,
  ROOT,
  type Scenario,
  type ScenarioResult,
  text,
} from "../measure/scenario.ts";
import type { OptionValues } from "../measure/scenario.ts";
import { renderRows } from "../measure/table.ts";
import { openOnBus } from "../measure/targets.ts";

const HELP = `hostile: publish -> receive of one tenant at a constant rate, alone and beside tenants
whose policies loop, trap, bomb and lie; with a policy of its own (bad words) and without.

  --rate N          messages a second of the one tenant (1000)
  --hostile N       messages a second of each hostile tenant (10)
  --uploads N       modules that an admin uploads and deploys a second, each of them new (5)
  --seconds N       counted time of each row (10)
  --warmup N        seconds before that are not counted (3)
  --connections N   (10)
  --bytes N         size of a body (256)
`;

/** The tenants whose messages are measured. */
const TENANTS = ["plain", "guarded"] as const;
const COLUMNS = ["p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms"] as const;

/**
 * One row: the load, the hostile tenants beside it, and the ratios of its figures to those of the load alone.
 */
interface Row extends LoadResult {
  readonly tenant: string;
  readonly beside: "nothing" | HostileMode;
  readonly p99_ratio: number;
  readonly hostile: HostileReport | undefined;
}

/** A running driver of hostile tenants, on a thread of its own so that it does not delay the load. */
interface Driver {
  stop(): Promise<HostileReport>;
}

async function startDriver(order: HostileOrder): Promise<Driver> {
  const thread = new Worker(new URL("./hostile_driver.ts", import.meta.url), { type: "module" });
  const { promise: ready, resolve, reject } = Promise.withResolvers<void>();
  const { promise: done, resolve: report, reject: fail } = Promise.withResolvers<HostileReport>();
  done.catch(() => {});
  thread.onmessage = ({ data }) => {
    if (data === "loaded") thread.postMessage(order);
    else if (data === "ready") resolve();
    else report(data);
  };
  thread.onerror = (event) => {
    event.preventDefault();
    const error = new Error(`the hostile driver failed: ${event.message}`);
    reject(error);
    fail(error);
  };
  await ready;
  return {
    async stop() {
      thread.postMessage("stop");
      try {
        return await done;
      } finally {
        thread.terminate();
      }
    },
  };
}

async function hostileOrder(bus: TestBus, mode: HostileMode, rate: number): Promise<HostileOrder> {
  const tokens: Record<string, string> = {};
  for (const name of HOSTILE_NAMES) tokens[name] = await bus.tokenFor({ tenant: name });
  const admin_token = await bus.tokenFor({ role: "admin", user: "root" });
  return { mode, rate, url: bus.url, admin_url: bus.admin_url, admin_token, tokens };
}

async function guard(bus: TestBus, tenant: string): Promise<void> {
  const admin = await policyAdmin(bus);
  const bytes = await Deno.readFile(`${ROOT}/policies/build/bad_words.wasm`);
  const { sha256 } = (await admin.upload(bytes)).body;
  const { status, body } = await admin.post("deploy", { tenant, name: "words", sha256 });
  if (status !== 200) throw new Error(`bad_words does not deploy: ${JSON.stringify(body)}`);
}

async function measure(
  bus: TestBus,
  tenant: string,
  options: LoadOptions,
  order: HostileOrder | undefined,
): Promise<Omit<Row, "p99_ratio">> {
  const beside = order?.mode ?? "nothing";
  console.error(`${tenant} beside ${beside}: ${options.rate}/s for ${options.seconds} s ...`);
  const token = await bus.tokenFor({ tenant });
  const driver = order === undefined ? undefined : await startDriver(order);
  const target = {
    name: `${tenant} beside ${beside}`,
    open: (index: number, onEcho: () => void) => openOnBus(bus.url, token, index, onEcho),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  const result = await openLoop(target, options);
  return { ...result, tenant, beside, hostile: await driver?.stop() };
}

async function run(values: OptionValues): Promise<ScenarioResult> {
  const options = loadOptions(values);
  const rates = { messages: positive(values, "hostile"), uploads: positive(values, "uploads") };
  await using bus = await startBus();
  await guard(bus, "guarded");
  const rows: Row[] = [];
  for (const tenant of TENANTS) {
    const alone = await measure(bus, tenant, options, undefined);
    rows.push({ ...alone, p99_ratio: 1 });
    for (const mode of ["messages", "uploads"] as const) {
      const row = await measure(bus, tenant, options, await hostileOrder(bus, mode, rates[mode]));
      rows.push({ ...row, p99_ratio: row.p99_ms / alone.p99_ms });
    }
  }
  const lost = rows.some(({ sent, received }) => sent !== received);
  return {
    report: { options: { ...options, hostile: rates }, rows },
    table: renderTable(rows),
    failure: failureOfLost(lost),
  };
}

function renderTable(rows: readonly Row[]): string {
  const head = [
    "tenant and what is beside it",
    "sent",
    "received",
    "p50 ms",
    "p90 ms",
    "p99 ms",
    "p99.9 ms",
    "max ms",
    "p99 ratio",
    "hostile answers",
  ];
  return renderRows(
    head,
    rows.map((row) => [
      row.target,
      String(row.sent),
      String(row.received),
      ...COLUMNS.map((column) => row[column].toFixed(3)),
      `${row.p99_ratio.toFixed(2)}x`,
      Object.entries(row.hostile?.answers ?? {}).map(([code, count]) => `${count} x ${code}`)
        .join(", "),
    ]),
  );
}

/** The scenario of `deno task bench hostile`. */
export const HOSTILE: Scenario = {
  name: "hostile",
  help: HELP,
  options: {
    rate: text("1000"),
    hostile: text("10"),
    uploads: text("5"),
    seconds: text("10"),
    warmup: text("3"),
    connections: text("10"),
    bytes: text("256"),
  },
  run,
};
