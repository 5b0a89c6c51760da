/**
 * The scenario `fairness`: the latency of one tenant's messages alone, and while another tenant uses its
 * whole fuel with messages that each need nearly all that a call may use. Both tenants have policies, and
 * either share the policy workers or have one each; the two kinds of isolation take turns in one run.
 */
import { guest } from "../../tests/peers/hostile_bytes.ts";
import { policyAdmin } from "../../tests/peers/policy_admin.ts";
import { type LoadReport, openLoad } from "../load/crowd/driver.ts";
import { busTarget, isLost } from "../load/crowd/turns.ts";
import { ownRooms, type Run } from "../load/plans/plan.ts";
import { failureOfLost, ROOT, scenario } from "../measure/scenario.ts";
import { median, sumOf } from "../measure/statistics.ts";
import { renderTable } from "../measure/table.ts";
import { startConfigured } from "../measure/targets.ts";
import { tokens } from "../policy/policy_bus.ts";

/** Largest ratio of the p99 beside the other tenant to the p99 alone. */
const RATIO = 2;
const ISOLATIONS = ["shared", "tenant"] as const;

/** A policy that takes some 9,000 fuel and then allows. */
const BURNER = guest({
  more: "(func $burn (local $i i32) (local.set $i (i32.const 600000)) (loop $again " +
    "(br_if $again (local.tee $i (i32.sub (local.get $i) (i32.const 1))))))",
  hook: "(call $burn) (i32.const 0)",
});

interface Turn {
  readonly isolation: typeof ISOLATIONS[number];
  readonly report: LoadReport;
  /** The outcome of the other tenant's messages; absent where the one was alone. */
  readonly burner?: LoadReport;
}

const roundOf = (
  rate: number,
  body_bytes: number,
  seconds: number,
  warmup_seconds: number,
): Run => ({
  ...{ pace: { kind: "rate", rate, burst: 1 }, from: "sent", sizes_bytes: [body_bytes] },
  ...{ seconds, warmup_seconds },
});

/** Measures all turns of one kind of isolation. */
async function measureAll(
  isolation: Turn["isolation"],
  { rounds, connections, run, burnt }: {
    rounds: number;
    connections: number;
    run: Run;
    burnt: Run;
  },
): Promise<Turn[]> {
  await using owned = new AsyncDisposableStack();
  const bus = owned.use(await startConfigured(`[policy]\nisolation = "${isolation}"\n`));
  const tokenFor = await tokens(bus);
  const adminToken = () => tokenFor({ tenant_id: "default", role: "admin" });
  const admin = await policyAdmin({ admin_url: bus.admin_url, tokenFor: adminToken });
  const open = async (tenant: string, count: number, module: Uint8Array<ArrayBuffer>) => {
    const { sha256 } = (await admin.upload(module)).body;
    const { status, body } = await admin.post("deploy", { tenant, name: tenant, sha256 });
    if (status !== 200) throw new Error(`${tenant} does not deploy: ${JSON.stringify(body)}`);
    const target = busTarget(bus, [await tokenFor({ tenant_id: tenant, role: "user" })]);
    const crowd = { groups: [ownRooms(count, tenant)], processes: 1, echo: false };
    return owned.use(await openLoad(target, crowd));
  };
  const words = await Deno.readFile(`${ROOT}/policies/build/bad_words.wasm`);
  const calm = await open("calm", connections, words);
  const burner = await open("burner", 1, BURNER);
  const turns: Turn[] = [];
  for (let round = 1; round <= rounds; round++) {
    console.error(`${isolation}, round ${round} of ${rounds} ...`);
    turns.push({ isolation, report: await calm.run(run) });
    const [report, burning] = await Promise.all([calm.run(run), burner.run(burnt)]);
    turns.push({ isolation, report, burner: burning });
  }
  return turns;
}

function rowOf(isolation: Turn["isolation"], turns: readonly Turn[]) {
  const mine = turns.filter((turn) => turn.isolation === isolation);
  const of = (is_beside: boolean, key: "p50_ms" | "p99_ms") =>
    median(
      mine.filter(({ burner }) => (burner !== undefined) === is_beside)
        .map(({ report }) => report.latency[key]),
    );
  const p50_ms = { alone: of(false, "p50_ms"), beside: of(true, "p50_ms") };
  const p99_ms = { alone: of(false, "p99_ms"), beside: of(true, "p99_ms") };
  const burners = mine.flatMap(({ burner }) => burner ?? []);
  const answers = { passed: sumOf(burners, "received"), refused: sumOf(burners, "problem_count") };
  return { isolation, p50_ms, p99_ms, ratio: p99_ms.beside / p99_ms.alone, answers };
}

/** The scenario of `deno task bench fairness`. */
export const FAIRNESS = scenario(
  "fairness",
  `publish -> receive of one tenant with a policy (bad words), alone and beside a
tenant that uses all of its [policy] fuel_per_second with calls of nearly fuel_limit; with isolation
"shared" and "tenant". The aim: a p99 within twice the tenant's own.`,
  {
    rate: [500, "messages a second of the one tenant"],
    burnt: [300, "messages a second of the other one, of 9,000 fuel each"],
    rounds: [3, "turns of each row; medians over them count"],
    seconds: [5, "counted time of a turn"],
    warmup: [1, "seconds before that are not counted"],
    connections: [10, ""],
    bytes: [256, "size of a body"],
  },
  async (options) => {
    const { rate, burnt, rounds, seconds, warmup, connections, bytes } = options;
    const plan = {
      ...{ rounds, connections, run: roundOf(rate, bytes, seconds, warmup) },
      burnt: roundOf(burnt, bytes, seconds, warmup),
    };
    const turns: Turn[] = [];
    for (const isolation of ISOLATIONS) turns.push(...await measureAll(isolation, plan));
    const rows = ISOLATIONS.map((isolation) => rowOf(isolation, turns));
    const pair = ({ alone, beside }: { alone: number; beside: number }, digits: number) =>
      `${alone.toFixed(digits)}, ${beside.toFixed(digits)}`;
    return {
      report: { options, rows, turns },
      table: renderTable(rows, [
        ["isolation", (row) => row.isolation],
        ["p50 alone, beside ms", ({ p50_ms }) => pair(p50_ms, 2)],
        ["p99 alone, beside ms", ({ p99_ms }) => pair(p99_ms, 1)],
        ["ratio", ({ ratio }) => `${ratio.toFixed(2)}x`],
        ["aim", ({ ratio }) => `${ratio <= RATIO ? "met" : "missed"} (${RATIO}x)`],
        ["burner", ({ answers }) => `${answers.passed} passed, ${answers.refused} refused`],
      ]),
      failure: failureOfLost(turns.some(({ report }) => isLost(report))),
    };
  },
);
