/**
 * The scenario `fairness`: the latency of one tenant's messages alone, and while another tenant uses its
 * whole fuel with messages that each need nearly all that a call may use. Both tenants have policies, and
 * either share the policy workers or have one each; the two kinds of isolation take turns in one run.
 */
import { startBusWith, type TestBus } from "../../tests/harness/bus.ts";
import { guest } from "../../tests/peers/hostile_bytes.ts";
import { policyAdmin } from "../../tests/peers/policy_admin.ts";
import type { BurnerOrder, BurnerReport } from "./fairness_driver.ts";
import { type LoadOptions, loadOptions, type LoadResult, openLoop } from "../measure/open_loop.ts";
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

const HELP =
  `fairness: publish -> receive of one tenant with a policy (bad words), alone and beside a
tenant that uses all of its [policy] fuel_per_second with calls of nearly fuel_limit; with isolation
"shared" and "tenant". The aim: a p99 within twice the tenant's own.

  --rate N          messages a second of the one tenant (500)
  --burnt N         messages a second of the other one, of 9,000 fuel each (300)
  --rounds N        turns of each row; medians over them count (3)
  --seconds N       counted time of a turn (5)
  --warmup N        seconds before that are not counted (1)
  --connections N   (10)
  --bytes N         size of a body (256)
`;

/** Largest ratio of the p99 beside the other tenant to the p99 alone. */
const RATIO = 2;
const ISOLATIONS = ["shared", "tenant"] as const;
type Isolation = (typeof ISOLATIONS)[number];

/** A policy that takes some 9,000 fuel and then allows. */
const BURNER = guest({
  more: "(func $burn (local $i i32) (local.set $i (i32.const 600000)) (loop $again " +
    "(br_if $again (local.tee $i (i32.sub (local.get $i) (i32.const 1))))))",
  hook: "(call $burn) (i32.const 0)",
});

interface Turn extends LoadResult {
  readonly isolation: Isolation;
  readonly is_beside: boolean;
  readonly burner: BurnerReport;
}

/** Starts a burner. `stop` resolves with the answers that it got. */
async function startBurner(order: BurnerOrder): Promise<{ stop(): Promise<BurnerReport> }> {
  const thread = new Worker(new URL("./fairness_driver.ts", import.meta.url), { type: "module" });
  const ready = Promise.withResolvers<void>();
  const done = Promise.withResolvers<BurnerReport>();
  thread.onmessage = ({ data }) => {
    if (data === "loaded") thread.postMessage(order);
    else if (data === "ready") ready.resolve();
    else done.resolve(data);
  };
  thread.onerror = (event) => {
    event.preventDefault();
    ready.reject(new Error(`the burner failed: ${event.message}`));
  };
  await ready.promise;
  return {
    async stop() {
      thread.postMessage("stop");
      const report = await done.promise;
      thread.terminate();
      return report;
    },
  };
}

async function deploy(bus: TestBus, tenant: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  const admin = await policyAdmin(bus);
  const { sha256 } = (await admin.upload(bytes)).body;
  const { status, body } = await admin.post("deploy", { tenant, name: tenant, sha256 });
  if (status !== 200) throw new Error(`${tenant} does not deploy: ${JSON.stringify(body)}`);
}

async function measure(
  bus: TestBus,
  isolation: Isolation,
  options: LoadOptions,
  burnt: number | undefined,
): Promise<Turn> {
  const is_beside = burnt !== undefined;
  const name = `${isolation}, ${is_beside ? "beside the burner" : "alone"}`;
  console.error(`${name}: ${options.rate}/s for ${options.seconds} s ...`);
  const token = await bus.tokenFor({ tenant: "calm" });
  const order = { url: bus.url, token: await bus.tokenFor({ tenant: "burner" }) };
  const burner = is_beside ? await startBurner({ ...order, rate: burnt }) : undefined;
  const result = await openLoop({
    name,
    open: (index: number, onEcho: () => void) => openOnBus(bus.url, token, index, onEcho),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }, { ...options, from: "sent" });
  return { ...result, isolation, is_beside, burner: await burner?.stop() ?? {} };
}

/** Measures all turns of one kind of isolation. */
async function measureAll(
  isolation: Isolation,
  options: LoadOptions,
  { rounds, burnt }: { rounds: number; burnt: number },
): Promise<Turn[]> {
  await using bus = await startBusWith(`[policy]\nisolation = "${isolation}"\n`);
  await deploy(bus, "calm", await Deno.readFile(`${ROOT}/policies/build/bad_words.wasm`));
  await deploy(bus, "burner", BURNER);
  const turns: Turn[] = [];
  for (let round = 0; round < rounds; round++) {
    turns.push(await measure(bus, isolation, options, undefined));
    turns.push(await measure(bus, isolation, options, burnt));
  }
  return turns;
}

const median = (values: readonly number[]) =>
  [...values].sort((a, b) => a - b)[values.length >> 1]!;

function rowOf(isolation: Isolation, turns: readonly Turn[]) {
  const of = (is_beside: boolean, column: "p50_ms" | "p99_ms") =>
    median(turns.filter((turn) => turn.is_beside === is_beside).map((turn) => turn[column]));
  const answers: Record<string, number> = {};
  for (const { burner } of turns) {
    for (const [code, count] of Object.entries(burner)) {
      answers[code] = (answers[code] ?? 0) + count;
    }
  }
  const p50_ms = { alone: of(false, "p50_ms"), beside: of(true, "p50_ms") };
  const p99_ms = { alone: of(false, "p99_ms"), beside: of(true, "p99_ms") };
  return { isolation, p50_ms, p99_ms, ratio: p99_ms.beside / p99_ms.alone, answers };
}

function renderTable(rows: readonly ReturnType<typeof rowOf>[]): string {
  return renderRows(
    ["isolation", "p50 alone, beside ms", "p99 alone, beside ms", "ratio", "aim", "burner"],
    rows.map(({ isolation, p50_ms, p99_ms, ratio, answers }) => [
      isolation,
      `${p50_ms.alone.toFixed(2)}, ${p50_ms.beside.toFixed(2)}`,
      `${p99_ms.alone.toFixed(1)}, ${p99_ms.beside.toFixed(1)}`,
      `${ratio.toFixed(2)}x`,
      ratio <= RATIO ? `met (${RATIO}x)` : `missed (${RATIO}x)`,
      Object.entries(answers).map(([code, count]) => `${count} x ${code}`).join(", "),
    ]),
  );
}

async function run(values: OptionValues): Promise<ScenarioResult> {
  const options = loadOptions(values);
  const plan = { rounds: positive(values, "rounds"), burnt: positive(values, "burnt") };
  const turns: Turn[] = [];
  for (const isolation of ISOLATIONS) turns.push(...await measureAll(isolation, options, plan));
  const rows = ISOLATIONS.map((isolation) =>
    rowOf(isolation, turns.filter((turn) => turn.isolation === isolation))
  );
  const lost = turns.some(({ sent, received }) => sent !== received);
  return {
    report: { options: { ...options, ...plan }, rows, turns },
    table: renderTable(rows),
    failure: failureOfLost(lost),
  };
}

/** The scenario of `deno task bench fairness`. */
export const FAIRNESS: Scenario = {
  name: "fairness",
  help: HELP,
  options: {
    rate: text("500"),
    burnt: text("300"),
    rounds: text("3"),
    seconds: text("5"),
    warmup: text("1"),
    connections: text("10"),
    bytes: text("256"),
  },
  run,
};
