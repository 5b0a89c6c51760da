/**
 * The script: Shields are hurt under a crowd, while somebody asks `GET /v1/why` about random messages and
 * users; in the end every answer is judged by what the clients themselves did and saw.
 */
import { pace } from "../../shared/testing/pace.ts";
import { until } from "../../shared/testing/until.ts";
import type { Fault, FaultKind, Range } from "../faults/fault.ts";
import { Fleet } from "../faults/fleet.ts";
import type { Say } from "../harness/task.ts";
import type { Verdict } from "../harness/verdict.ts";
import { AdminClient } from "../peers/admin_client.ts";
import { policyAdmin } from "../peers/policy_admin.ts";
import { createRandom } from "../presence_simulation/random.ts";
import type { Random } from "../presence_simulation/random.ts";
import { Crowd, TENANTS } from "./crowd.ts";
import { judge } from "./judge.ts";
import type { Question } from "./answer.ts";
import { nothingKnown } from "./known.ts";
import type { Known } from "./known.ts";
import type { Asked } from "./plant.ts";

/** What is to be done. */
export interface WhyPlan {
  /** How long Shields are hurt. */
  readonly seconds: number;
  /** Pairs of a message and a user. */
  readonly questions: number;
  readonly shields: number;
  /** Users of each tenant, each with two clients. */
  readonly users: number;
  readonly seed: number;
  /** How long a Shield is away, and how long the next one waits then. */
  readonly away_ms: Range;
  readonly pause_ms: Range;
  /** Between two things that a client does, two kicks or bans, two times that the slow do not read. */
  readonly idle_ms: Range;
  readonly hit_ms: number;
  readonly slow_ms: number;
}

/** What was found. */
export interface WhyVerdict extends Verdict {
  readonly report: readonly string[];
  readonly asked: readonly Asked[];
  /** By which the answers were judged. */
  readonly known: Known;
}

const FIRST = "shield-0";
const BALANCERS = ["balancer-0", "balancer-1"];
const KINDS: readonly FaultKind[] = ["kill", "stop", "restart", "cut"];
const POLICY = new URL("../../policies/build/bad_words.wasm", import.meta.url);
/** What is asked about has had this long to come. */
const SETTLED_MS = 4_000;
const ASK_MS = 10_000;
const LATE_SITTINGS = 60;
/** So long before and after a subscription its user is asked about. */
const AROUND_MS = 2_000;
const RETRY_MS = 50;
const CONFIG = `
[ledger]
store = true
flush_ms = 500
[limits]
slow_reader_bytes = 262_144
bytes_per_second = 1_000_000_000
[[rooms]]
room = "drop-*"
slow_reader = "drop-oldest"
[[rooms]]
room = "latest-*"
slow_reader = "latest"
[[rooms]]
room = "log-*"
durable = true
`;

/** The names of so many Shields. */
const namesOf = (shields: number) => Array.from({ length: shields }, (_, at) => `shield-${at}`);

/** Faults of Shields and of the way to them, one after the other, each kind in turn. */
function planFaults(
  { seconds, away_ms, pause_ms, shields }: WhyPlan,
  random: Random,
): Fault[] {
  const faults: Fault[] = [];
  const between = ([low, high]: Range) => random.int(low, high);
  let at_ms = between(pause_ms);
  for (let turn = random.int(0, 1);; turn++) {
    const kind = KINDS[turn % KINDS.length]!;
    const length_ms = between(away_ms);
    if (at_ms + length_ms > 1_000 * seconds) return faults;
    const targets = kind === "cut" && random.chance(0.5) ? BALANCERS : namesOf(shields);
    faults.push({ at_ms, target: random.pick(targets), kind, away_ms: length_ms });
    at_ms += length_ms + between(pause_ms);
  }
}

/** Everything that a run has in its hands. */
interface World {
  readonly plan: WhyPlan;
  readonly fleet: Fleet;
  readonly known: Known;
  readonly crowd: Crowd;
  readonly random: Random;
  readonly token: string;
  readonly say: Say;
}

/** A message that has had its time, and a user: half of the users were in that room about then. */
function choose({ known, crowd, random }: World): Omit<Question, "asked_ms" | "answered_ms"> {
  for (;;) {
    const visit = random.chance(0.5) ? someVisit(known, random) : undefined;
    const said = random.pick(visit?.messages ?? [...known.said.values()]);
    if (said.sent_ms > Date.now() - SETTLED_MS) continue;
    const users = crowd.users.filter(({ tenant_id }) => tenant_id === said.tenant_id);
    const user_id = visit?.user_id ?? random.pick(users).user_id;
    const other = TENANTS.find((one) => one !== said.tenant_id)!;
    const tenant_id = random.chance(0.05) ? other : said.tenant_id;
    const by_offset = said.offset > 0 && tenant_id === said.tenant_id && random.chance(0.5);
    return { said, user_id, tenant_id, by_offset };
  }
}

/** Somebody who was in some room, and what was said there about then. */
function someVisit(known: Known, random: Random) {
  if (known.sittings.length === 0) return undefined;
  // Mostly of late, since what was longer ago went with a Shield by now.
  const late = random.chance(0.8) ? -LATE_SITTINGS : 0;
  const { stays, tenant_id, user_id } = random.pick(known.sittings.slice(late));
  if (stays.length === 0) return undefined;
  const { room_id, asked_ms, left_ms = Infinity } = random.pick(stays);
  const messages = [...known.said.values()].filter((one) =>
    one.tenant_id === tenant_id && one.room_id === room_id &&
    one.sent_ms > asked_ms - AROUND_MS && one.sent_ms < left_ms + AROUND_MS
  );
  return messages.length === 0 ? undefined : { user_id, messages };
}

/** Asks some Shield; undefined when it is not there, or goes meanwhile. */
async function ask(world: World): Promise<Asked | undefined> {
  const { fleet, token, random, plan } = world;
  const url = fleet.adminUrl(random.pick(namesOf(plan.shields)));
  if (url === undefined) return undefined;
  const chosen = choose(world);
  const { said: { id, room_id, offset }, tenant_id, user_id, by_offset } = chosen;
  const which = by_offset ? `room=${room_id}&offset=${offset}` : `message_id=${id}`;
  const path = `/v1/why?tenant=${tenant_id}&user=${user_id}&${which}`;
  const asked_ms = Date.now();
  try {
    const response = await fetch(`${url}${path}`, {
      headers: { authorization: `Bearer ${token}` },
      signal: AbortSignal.timeout(ASK_MS),
    });
    const answer = await response.json();
    if (response.status !== 200) {
      // A Shield that has lost NATS cannot ask the others, and says so.
      if (response.status >= 500) return undefined;
      throw new Error(`${path}: ${response.status} ${JSON.stringify(answer)}`);
    }
    return { question: { ...chosen, asked_ms, answered_ms: Date.now() }, answer };
  } catch (error) {
    if (error instanceof TypeError || error instanceof DOMException) return undefined;
    throw error;
  }
}

/** Asks on until so many answers are there, spread over the faults. */
async function askAll(world: World): Promise<Asked[]> {
  const { plan: { seconds, questions }, known } = world;
  const all: Asked[] = [];
  await until("something is said", () => known.said.size > 0);
  await pace(SETTLED_MS + RETRY_MS);
  const each_ms = (1_000 * seconds - SETTLED_MS) / questions;
  const began_ms = performance.now();
  while (all.length < questions) {
    const asked = await ask(world);
    if (asked !== undefined) all.push(asked);
    const due_ms = began_ms + all.length * each_ms;
    await pace(asked === undefined ? RETRY_MS : Math.max(0, due_ms - performance.now()));
  }
  return all;
}

async function deployPolicy(fleet: Fleet): Promise<void> {
  const admin = await policyAdmin({
    admin_url: fleet.adminUrl(FIRST) ?? "",
    tokenFor: () => fleet.issuer.tokenFor({ role: "admin", sub: "root" }),
  });
  const { body: { sha256 } } = await admin.upload(await Deno.readFile(POLICY));
  for (const tenant of TENANTS) {
    const binding = { tenant, name: "words", sha256, room: "guard-*" };
    const { status, body } = await admin.post("deploy", binding);
    if (status !== 200) throw new Error(JSON.stringify(body));
  }
}

/** Runs it all. Rejects when something does not start, or a question is refused. */
export async function runWhy(plan: WhyPlan, say: Say): Promise<WhyVerdict> {
  const { seconds, seed } = plan;
  const shields = namesOf(plan.shields);
  const random = createRandom(seed);
  const dir = await Deno.makeTempDir({ prefix: "arqon-why-" });
  const surprises: string[] = [];
  await using fleet = await Fleet.open({
    ...{ brains: ["brain-0"], shields, balancers: BALANCERS, servers: 1 },
    ...{ proxied: true, config: CONFIG, server_lines: "drain_ms = 500\n" },
    ...{ groupOf: (target: string) => target, dir, say },
    onSurprise: (text) => void surprises.push(text),
  });
  await fleet.start();
  const { issuer } = fleet;
  const token = await issuer.tokenFor({ role: "admin", sub: "root" });
  await deployPolicy(fleet);
  const known = nothingKnown();
  const shieldNow = () =>
    shields.map((name) => fleet.clientPort(name)).find((port) => port !== undefined);
  await using crowd = await Crowd.open({
    ...plan,
    known,
    random: random.fork(1),
    urls: fleet.hosts.map((host) => `ws://${host}`),
    shieldPort: shieldNow,
    tokenFor: issuer.tokenFor,
    order: (path, body) => order(fleet, shields, token, path, body),
  });
  const living = new AbortController();
  const lives = crowd.live(living.signal);
  const world = { plan, fleet, known, crowd, random: random.fork(2), token, say };
  const faults = planFaults(plan, random.fork(3));
  say(`${shields.length} Shields, ${faults.length} faults in ${seconds} s, seed ${seed}`);
  const [asked] = await Promise.all([askAll(world), fleet.suffer(faults)]);
  living.abort();
  await lives;
  const [messages, connections] = [known.said.size, known.sittings.length];
  const lived = `${messages} messages, ${connections} connections, ${crowd.hits} kicks and bans`;
  say(`${lived}, ${asked.length} answers`);
  return conclude({ known, asked, seed, dir, surprises: [...surprises, ...fleet.bugs()] });
}

async function order(
  fleet: Fleet,
  shields: readonly string[],
  token: string,
  path: string,
  body: object,
): Promise<boolean> {
  const url = shields.map((name) => fleet.adminUrl(name)).find((one) => one !== undefined);
  if (url === undefined) return false;
  try {
    const { status } = await new AdminClient(url, token).ask("POST", path, body);
    return status === 200;
  } catch (error) {
    if (error instanceof TypeError) return false;
    throw error;
  }
}

/** Judges all answers, now that everything is known. */
function conclude(
  { known, asked, seed, dir, surprises }: {
    readonly known: Known;
    readonly asked: readonly Asked[];
    readonly seed: number;
    readonly dir: string;
    readonly surprises: readonly string[];
  },
): WhyVerdict {
  const problems = [...surprises];
  const words = new Map<string, number>();
  const took: Record<"all" | "partly", number[]> = { all: [], partly: [] };
  for (const { question, answer } of asked) {
    const found = judge(known, question, answer);
    problems.push(...found.problems);
    for (const word of found.words) words.set(word, (words.get(word) ?? 0) + 1);
    const kind = answer.nodes.silent.length === 0 ? "all" : "partly";
    took[kind].push(question.answered_ms - question.asked_ms);
  }
  const report = [
    ...[...words].sort(([, a], [, b]) => b - a).map(([word, count]) =>
      `${String(count).padStart(7)}  ${word}`
    ),
    `answers of all Shields: ${took.all.length}, ${spread(took.all)}`,
    `with a silent one:      ${took.partly.length}, ${spread(took.partly)}`,
  ];
  return { problems, seed, dir, report, asked, known };
}

function spread(times: readonly number[]): string {
  if (times.length === 0) return "none";
  const sorted = times.toSorted((a, b) => a - b);
  const at = (part: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))];
  return `median ${at(0.5)} ms, p99 ${at(0.99)} ms, most ${sorted.at(-1)} ms`;
}
