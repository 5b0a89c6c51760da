/**
 * The script: Shields are killed, stopped, restarted and cut off from NATS while clients talk and keep a book;
 * in the end the ledger of use is held against the book, and its fuel against the journal and a replay of it.
 */
import { runArq } from "../../arq/testing/run_arq.ts";
import { pace } from "../../shared/testing/pace.ts";
import { becomes } from "../../shared/testing/until.ts";
import { UNITS_PER_FUEL } from "../../wasm/metering/meter_costs.ts";
import type { Fault, FaultKind, Range } from "../faults/fault.ts";
import { Fleet } from "../faults/fleet.ts";
import type { Say } from "../harness/task.ts";
import type { Verdict } from "../harness/verdict.ts";
import { policyAdmin } from "../peers/policy_admin.ts";
import { createRandom } from "../presence_simulation/random.ts";
import type { Random } from "../presence_simulation/random.ts";
import { judge } from "./judge.ts";
import type { Book, Judgement, UsageAnswer } from "./judge.ts";
import { talk } from "./talker.ts";

/** What is to be done. */
export interface UsagePlan {
  /** How long Shields are hurt. */
  readonly seconds: number;
  readonly shields: number;
  /** Clients of each tenant at each Shield. */
  readonly clients: number;
  readonly seed: number;
  /** How long a Shield is away, and how long the next one waits then. */
  readonly away_ms: Range;
  readonly pause_ms: Range;
  /** Between two messages of a client. */
  readonly idle_ms: Range;
}

/** What was found. */
export interface UsageVerdict extends Verdict {
  readonly report: readonly string[];
  readonly book: Book;
  /** Of each tenant. */
  readonly answers: readonly UsageAnswer[];
}

/** It is hurt, but never killed: all that it counts must be there. */
const STEADY = "shield-0";
const TENANTS = ["acme", "beta"] as const;
const POLICY = "content_size";
const MODULE = new URL(`../../policies/build/${POLICY}.wasm`, import.meta.url);
const CONFIG = `
[usage]
enabled = true
flush_ms = 200
[journal]
journal = "all"
journal_payload = "keep"
flush_ms = 100
`;
/** What was counted is in the ledger by then: the kills are told once a Shield is back. */
const SETTLE_MS = 60_000;
const LINES = 10_000;
const namesOf = (shields: number) => Array.from({ length: shields }, (_, at) => `shield-${at}`);

/** Faults one after the other, each kind in turn; the steady Shield is not killed. */
export function planFaults(
  { seconds, away_ms, pause_ms, shields }: UsagePlan,
  random: Random,
): Fault[] {
  const kinds: readonly FaultKind[] = ["kill", "stop", "kill", "restart", "cut"];
  const faults: Fault[] = [];
  let at_ms = random.int(...pause_ms);
  for (let turn = 0;; turn++) {
    const length_ms = random.int(...away_ms);
    if (at_ms + length_ms > 1_000 * seconds) return faults;
    const kind = kinds[turn % kinds.length]!;
    const target = random.pick(namesOf(shields).slice(kind === "kill" ? 1 : 0));
    faults.push({ at_ms, target, kind, away_ms: length_ms });
    at_ms += length_ms + random.int(...pause_ms);
  }
}

/** What a journal has of the policy. */
interface Journalled {
  readonly units: ReadonlyMap<string, number>;
  readonly calls: number;
  /** Shields of which it says that decisions are missing. */
  readonly holes: ReadonlySet<string>;
}

/** Asks the steady Shield as an operator. */
class Operator {
  readonly #url: string;
  readonly #token: string;

  constructor(url: string, token: string) {
    this.#url = url;
    this.#token = token;
  }

  async usage(tenant: string, by: string) {
    const answer = await (await this.#get(`/v1/usage?tenant=${tenant}&by=${by}`)).json();
    if (answer.rows === undefined) throw new Error(JSON.stringify(answer));
    return answer;
  }

  /** The units of the policy by Shield, as the journal has them, how many calls there were, and who has holes. */
  async journalled(tenant: string): Promise<Journalled> {
    const units = new Map<string, number>();
    const holes = new Set<string>();
    let calls = 0;
    for (let after = "";;) {
      const path = `/v1/journal?tenant=${tenant}&limit=${LINES}${after && `&after=${after}`}`;
      const lines = (await (await this.#get(path)).text()).trimEnd().split("\n");
      const end = JSON.parse(lines.pop()!);
      for (const { node, policies, hole } of lines.map((line) => JSON.parse(line))) {
        if (hole !== undefined) holes.add(hole.node);
        for (const call of policies ?? []) {
          calls++;
          units.set(node, (units.get(node) ?? 0) + call.units);
        }
      }
      if (end.is_end !== false) return { units, calls, holes };
      after = end.next;
    }
  }

  /** What a replay of the recorded calls says. */
  async replayed(tenant: string) {
    const at = ["--admin-url", this.#url, "--token", this.#token, "--tenant", tenant];
    const { stdout, stderr } = await runArq(["policy", "replay", POLICY, ...at, "--json"]);
    if (stdout === "") throw new Error(stderr);
    return JSON.parse(stdout).recorded;
  }

  #get(path: string): Promise<Response> {
    return fetch(`${this.#url}${path}`, { headers: { authorization: `Bearer ${this.#token}` } });
  }
}

async function deployPolicy(fleet: Fleet): Promise<void> {
  const admin = await policyAdmin({
    admin_url: fleet.adminUrl(STEADY) ?? "",
    tokenFor: () => fleet.issuer.tokenFor({ role: "admin", sub: "root" }),
  });
  const { body: { sha256 } } = await admin.upload(await Deno.readFile(MODULE));
  for (const tenant of TENANTS) {
    const { status, body } = await admin.post("deploy", { tenant, name: POLICY, sha256 });
    if (status !== 200) throw new Error(JSON.stringify(body));
  }
}

/** Everybody who talks, until the signal says otherwise. */
async function crowd(
  plan: UsagePlan,
  fleet: Fleet,
  book: Book,
  signal: AbortSignal,
): Promise<void> {
  const random = createRandom(plan.seed).fork(1);
  const talks: Promise<void>[] = [];
  for (const node_id of namesOf(plan.shields)) {
    for (const tenant_id of TENANTS) {
      for (let at = 0; at < plan.clients; at++) {
        const name = `${node_id}-${at}`;
        const token = await fleet.issuer.tokenFor({ tenant_id, sub: name });
        const who = { node_id, tenant_id, room_id: name, token, random: random.fork(talks.length) };
        const port = () => fleet.clientPort(node_id);
        talks.push(talk({ ...who, port, idle_ms: plan.idle_ms, said: book.said }, signal));
      }
    }
  }
  await Promise.all(talks);
}

/** The fuel of the ledger beside the journal's and a replay's. */
async function judgeFuel(operator: Operator, tenant: string) {
  const problems: string[] = [];
  const { rows } = await operator.usage(tenant, "node,policy");
  const { units, calls, holes } = await operator.journalled(tenant);
  const row = rows.find((one: { node: string; policy: string }) =>
    one.node === STEADY && one.policy === POLICY
  );
  // Units are whole, while 33.165785 of fuel times a million is 33,165,785.000000004.
  const counted = Math.round((row?.fuel ?? 0) * UNITS_PER_FUEL);
  const recorded = units.get(STEADY) ?? 0;
  // Where the journal tells of a hole it has less than there was, and never more.
  const is_whole = !holes.has(STEADY);
  if (is_whole ? counted !== recorded : counted < recorded) {
    problems.push(`${tenant} ${STEADY} fuel: ${counted} units, the journal has ${recorded}`);
  }
  const { same, different } = await operator.replayed(tenant);
  if (Object.keys(different).length > 0 || same !== calls) {
    const found = JSON.stringify({ same, different });
    problems.push(`${tenant}: of ${calls} calls a replay says ${found}`);
  }
  const line =
    `${tenant}: ${counted} units of fuel at ${STEADY}, ${recorded} in the journal${
      is_whole ? "" : ", which tells of a hole there"
    }; ` +
    `a replay repeats ${same} of ${calls} calls`;
  return { problems, line };
}

interface Settled {
  readonly answers: UsageAnswer[];
  readonly judgements: Judgement[];
}

/** Asks until all is in the ledger and right, or for long. */
async function settle(operator: Operator, book: Book): Promise<Settled> {
  let answers: UsageAnswer[] = [];
  let judgements: Judgement[] = [];
  await becomes(async () => {
    answers = [];
    for (const tenant of TENANTS) answers.push(await operator.usage(tenant, "node"));
    judgements = answers.map((answer) => judge(book, answer));
    return judgements.every(({ problems }) => problems.length === 0);
  }, SETTLE_MS);
  return { answers, judgements };
}

/** Runs it all. Rejects when something does not start. */
export async function runUsage(plan: UsagePlan, say: Say): Promise<UsageVerdict> {
  const dir = await Deno.makeTempDir({ prefix: "arqon-usage-" });
  const surprises: string[] = [];
  const book: Book = { said: [], kills: [] };
  await using fleet = await Fleet.open({
    ...{ brains: ["brain-0"], shields: namesOf(plan.shields), balancers: [], servers: 1 },
    ...{ proxied: true, config: CONFIG, server_lines: "drain_ms = 500\n" },
    ...{ groupOf: (target: string) => target, dir, say },
    onFault: ({ kind, target: node_id, away_ms }) => {
      const at_ms = Date.now();
      if (kind === "kill") book.kills.push({ node_id, at_ms, until_ms: at_ms + away_ms });
    },
    onSurprise: (text) => void surprises.push(text),
  });
  await fleet.start();
  await deployPolicy(fleet);
  const faults = planFaults(plan, createRandom(plan.seed).fork(2));
  say(`${plan.shields} Shields, ${faults.length} faults in ${plan.seconds} s, seed ${plan.seed}`);
  const talking = new AbortController();
  const talks = crowd(plan, fleet, book, talking.signal);
  await fleet.suffer(faults);
  await pace(plan.pause_ms[0]);
  talking.abort();
  await talks;
  say(`${book.said.length} messages, ${book.kills.length} kills`);
  const token = await fleet.issuer.tokenFor({ role: "admin", sub: "root" });
  const operator = new Operator(fleet.adminUrl(STEADY) ?? "", token);
  const { answers, judgements } = await settle(operator, book);
  const fuel = [];
  for (const tenant of TENANTS) fuel.push(await judgeFuel(operator, tenant));
  const problems = [...judgements, ...fuel].flatMap((one) => one.problems);
  return {
    problems: [...problems, ...surprises, ...fleet.bugs()],
    ...{ seed: plan.seed, dir, book, answers },
    report: [reportOf(book, judgements), ...fuel.map(({ line }) => line)],
  };
}

function reportOf({ said, kills }: Book, judgements: readonly Judgement[]): string {
  const sum = (member: "missing" | "unclear") =>
    judgements.reduce((total, one) => total + one[member], 0);
  const of = (outcome: string) => said.filter((one) => one.outcome === outcome).length;
  const gap_ms = Math.max(...judgements.map((one) => one.gap_ms));
  return `${of("taken")} messages taken, ${of("refused")} refused, ${sum("unclear")} unclear; ` +
    `${kills.length} kills, each told, took ${
      sum("missing")
    } with them, at most ${gap_ms} ms of one`;
}
