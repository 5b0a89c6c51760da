/**
 * Runs the attacks one after another against a running bus, each beside well-behaved tenants, and reports what those
 * saw before, during and after the attack. `main.ts` and the test call it.
 */
import { niceness, startProgram } from "../../bench/measure/line_program.ts";
import { pace } from "../../shared/testing/pace.ts";
import { startBusWith, type TestBus, withFiles } from "../harness/bus.ts";
import { sampleAt } from "../harness/server_state.ts";
import { websocketLine } from "../harness/websocket_option.ts";
import { enforce, policyAdmin } from "../peers/policy_admin.ts";
import { openText } from "../peers/raw_client.ts";
import type { AttackReport } from "./attacker.ts";
import { type Attack, ATTACKS } from "./attacks.ts";
import type { CleanPhase, CleanReport } from "./clean_clients.ts";
import { costlyConfig, FAILS_ON_B, timerModule } from "./costly_work.ts";
import { slowStart } from "./slow_start.ts";

/** The bus's limit, low enough for unauthenticated connections to use it up. */
const OPEN_FILES = 2_000;
const WORKERS = 2;
/** The same workers judge both and the attackers' policies; the second tenant has two policies of its own. */
const TENANTS = ["plain", "guarded"] as const;
/** In reality, attackers and clean tenants run on other machines. */
const ATTACKER_NICE = 19;
/** The attacker shares the machine's cores: a p99 below this is not judged, in ms. */
const P99_JUDGED_MS = 50;
/** A start may be late by this multiple of the longest silence. */
const START_SILENCES = 4;
/** Of the log of a bus that has ended. */
const LOG_CHARACTERS = 1_000;
/** Time for a bus that recovers to be asked and to answer. */
const AGAIN_MS = 20_000;

/** What to run. */
export interface GalleryPlan {
  /** Names of attacks; empty: all. */
  readonly only: readonly string[];
  /** `[server] websocket`; undefined: the default. */
  readonly websocket: string | undefined;
  /** Duration of each phase. */
  readonly seconds: number;
  /** Messages per second of each clean tenant. */
  readonly rate: number;
  /**
   * The longest time for a clean message, while the machine has time for everybody. Infinity in tests, where a busy
   * machine delays no policy's verdict either.
   */
  readonly silence_ms: number;
  /** The largest ratio of a clean tenant's p99 under attack to its p99 alone; Infinity in tests. */
  readonly p99_factor: number;
  readonly say: (line: string) => void;
}

/** What one attack did to the others. */
export interface AttackResult {
  readonly name: string;
  readonly says: string;
  /** Why it could not be run, or a remark; then there are no figures. */
  readonly note?: string;
  readonly attack?: AttackReport;
  /** By tenant. */
  readonly before?: Readonly<Record<string, CleanPhase>>;
  readonly during?: Readonly<Record<string, CleanPhase>>;
  readonly memory_before_bytes?: number;
  readonly memory_after_bytes?: number;
  /** Violated conditions; empty if all held. */
  readonly broken: readonly string[];
}

/** Carried out by a start of the bus instead of an attacker. */
const SLOW_START = "slow-start";

/** Throws RangeError for an unknown name. */
function expectKnown(only: readonly string[]): void {
  const names = [...ATTACKS.map(({ name }) => name), SLOW_START];
  for (const name of only) {
    if (names.includes(name)) continue;
    const text = `there is no attack ${JSON.stringify(name)}; there are ${names.join(", ")}`;
    throw new RangeError(text);
  }
}

function configOf({ websocket, silence_ms }: GalleryPlan, timers: string): string {
  return `
[server]
host = "127.0.0.1"
drain_ms = 0
${websocketLine(websocket ?? "")}
[ops]
host = "127.0.0.1"
[policy]
workers = ${WORKERS}
${silence_ms === Infinity ? "stall_ms = 60_000" : ""}
${costlyConfig(timers)}`;
}

async function startGuardedBus(plan: GalleryPlan, dir: string): Promise<TestBus> {
  const timers = `${dir}/timers.wasm`;
  await Deno.writeFile(timers, timerModule());
  const bus = await startBusWith(configOf(plan, timers), withFiles(OPEN_FILES));
  await enforce(bus, "bad_words", { tenant: "guarded", name: "words" });
  await enforce(bus, FAILS_ON_B, { tenant: "guarded", name: "fails-on-b" });
  return bus;
}

const memoryBytes = ({ ops_url }: TestBus) => sampleAt(ops_url, "process_resident_memory_bytes");

/** A new client connects and its message arrives, and the other ports answer; returns what does not work. */
async function works(bus: TestBus): Promise<string[]> {
  const broken: string[] = [];
  const ask = async (what: string, work: () => Promise<void>) => {
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(new Error("no answer")), AGAIN_MS);
    await Promise.race([work(), late])
      .catch((error) => broken.push(`afterwards, ${what}: ${error.message}`))
      .finally(() => clearTimeout(timer));
  };
  for (const tenant of TENANTS) {
    await ask(`a new client of tenant ${tenant}`, async () => {
      using client = await openText(bus.url, await bus.tokenFor({ tenant }));
      client.send({ op: "sub", room: "again", id: 1 });
      await client.json();
      client.send({ op: "pub", room: "again", data: "here" });
      const frame = await client.json();
      if (frame.data !== "here") throw new Error(JSON.stringify(frame));
    });
  }
  await ask("the ops port", async () => {
    const ready = await fetch(`${bus.ops_url}/health/ready`);
    if (ready.status !== 200) throw new Error(`${ready.status} ${await ready.text()}`);
    await ready.body?.cancel();
  });
  await ask("the admin port", async () => void await (await policyAdmin(bus)).status());
  return broken;
}

function judged({ phases, closed }: CleanReport, plan: GalleryPlan): string[] {
  const broken = closed === 0 ? [] : [`${closed} clean connections were closed`];
  const seen = ["attacked", "afterwards"].flatMap((name) => Object.entries(phases[name] ?? {}));
  for (const [tenant, { sent, received, refused, silence_ms, p99_ms }] of seen) {
    const silent = silence_ms > plan.silence_ms;
    if (silent) broken.push(`${tenant}: ${Math.round(silence_ms)} ms of silence`);
    const alone_ms = phases["alone"]?.[tenant]?.p99_ms ?? Infinity;
    if (p99_ms > Math.max(P99_JUDGED_MS, plan.p99_factor * alone_ms)) {
      broken.push(`${tenant}: p99 ${Math.round(p99_ms)} ms, ${Math.round(alone_ms)} ms alone`);
    }
    const refusals = Object.entries(refused);
    for (const [reason, count] of refusals) broken.push(`${tenant}: ${count} refused, ${reason}`);
    const answered = received + refusals.reduce((sum, [, count]) => sum + count, 0);
    if (answered < sent) broken.push(`${tenant}: ${sent - answered} of ${sent} not answered`);
  }
  return broken;
}

async function runAttack(
  bus: TestBus,
  attack: Attack,
  plan: GalleryPlan,
  dir: string,
): Promise<AttackResult> {
  const { name, says } = attack;
  const begun = await attack.begin({ bus, dir });
  if ("refused" in begun) {
    return { name, says, note: `not let in: ${begun.refused}`, broken: await works(bus) };
  }
  const tokens = Object.fromEntries(
    await Promise.all(TENANTS.map(async (tenant) => [tenant, await bus.tokenFor({ tenant })])),
  );
  await using clean = startProgram("tests/hostile/clean_clients.ts", { flags: ["--allow-net"] });
  await clean.say({ url: bus.url, tokens, rate: plan.rate });
  await clean.next();
  // The first messages of a connection find cold caches.
  await pace(1_000);
  await clean.say("alone");
  await pace(1_000 * plan.seconds);
  const memory_before_bytes = await memoryBytes(bus);
  await clean.say("attacked");
  const attacker = startProgram("tests/hostile/attacker.ts", {
    flags: ["--allow-net", "--allow-read"],
    before: niceness(ATTACKER_NICE),
  });
  await attacker.say(begun.order);
  await attacker.next();
  await pace(1_000 * plan.seconds);
  await clean.say("afterwards");
  await attacker.finish();
  const done = await attacker.next<AttackReport>();
  await attacker[Symbol.asyncDispose]();
  await pace(1_000);
  const broken = await works(bus);
  const memory_after_bytes = await memoryBytes(bus).catch((error) => {
    broken.push(`the bus does not answer: ${error.message}\n${bus.log().slice(-LOG_CHARACTERS)}`);
    return NaN;
  });
  await clean.finish();
  const report = await clean.next<CleanReport>();
  return {
    name,
    says,
    attack: done,
    before: report.phases["alone"] ?? {},
    during: report.phases["attacked"] ?? {},
    memory_before_bytes,
    memory_after_bytes,
    broken: [...judged(report, plan), ...broken],
  };
}

async function runSlowStart(plan: GalleryPlan): Promise<AttackResult> {
  const says = "modules that take long to compile, and a new start";
  plan.say(`${SLOW_START}: ${says}`);
  const { modules, without_ms, with_ms, answer } = await slowStart(plan.websocket);
  const seconds = (time_ms: number) => `${(time_ms / 1_000).toFixed(1)} s`;
  const note = `${modules} modules: others are served after ${seconds(with_ms)}, ` +
    `without them after ${seconds(without_ms)}; the slow tenant's first answer: ${answer}`;
  const late = with_ms - without_ms > plan.silence_ms * START_SILENCES;
  return { name: SLOW_START, says, note, broken: late ? [note] : [] };
}

/** Runs the selected attacks. A bus that an attack has ended is replaced for the next attack. */
export async function runGallery(plan: GalleryPlan): Promise<AttackResult[]> {
  const { only } = plan;
  expectKnown(only);
  const wanted = (name: string) => only.length === 0 || only.includes(name);
  const results: AttackResult[] = [];
  const dir = await Deno.makeTempDir();
  let bus = await startGuardedBus(plan, dir);
  try {
    for (const attack of ATTACKS.filter(({ name }) => wanted(name))) {
      plan.say(`${attack.name}: ${attack.says}`);
      const result = await runAttack(bus, attack, plan, dir).catch((error): AttackResult => ({
        name: attack.name,
        says: attack.says,
        broken: [error.message],
      }));
      results.push(result);
      if (result.broken.length === 0) continue;
      plan.say(`  ${result.broken.join("\n  ")}`);
      await bus.stop("SIGKILL");
      bus = await startGuardedBus(plan, dir);
    }
  } finally {
    await bus.stop();
    await Deno.remove(dir, { recursive: true });
  }
  if (wanted(SLOW_START)) results.push(await runSlowStart(plan));
  return results;
}
