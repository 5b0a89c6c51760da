/**
 * Counters are called without a pause while each Brain in turn is killed or disconnected, and occasionally a Shield;
 * then all answers are judged.
 */
import { configFrom } from "../../shared/config/load.ts";
import { REDUCER_OBJECTS } from "../../shared/records/reducer_record.ts";
import { openSpine } from "../../shared/spine/open.ts";
import type { Fault } from "../faults/fault.ts";
import { Fleet } from "../faults/fleet.ts";
import { testLog } from "../../shared/testing/logs.ts";
import type { Say } from "../harness/task.ts";
import type { Verdict } from "../harness/verdict.ts";
import { createRandom, type Random } from "../../shared/testing/seeded.ts";
import { Callers, type MadeCall } from "./callers.ts";
import {
  eventsOf,
  folded,
  foldedElsewhere,
  judgeEntries,
  linearizable,
  sourceOf,
  wasmtimeThere,
} from "./judge.ts";
import { reducedRooms } from "../../shared/testing/reducers.ts";

/** The plan of a run. */
export interface ReducerPlan {
  readonly seconds: number;
  /** Between two faults of Brains. */
  readonly every_ms: number;
  readonly rooms: number;
  readonly callers_per_room: number;
  readonly servers: 1 | 3;
  readonly seed: number;
  /** Rooms that wasmtime folds, too, if it is installed. */
  readonly elsewhere?: number;
}

/** The findings. */
export interface ReducerVerdict extends Verdict {
  readonly report: readonly string[];
}

const BRAINS = ["brain-0", "brain-1", "brain-2"];
const SHIELDS = ["shield-0", "shield-1"];
const BALANCERS = ["balancer-0", "balancer-1"];
const TENANT = "acme";
const RETENTION = { history_size: 200_000, history_ttl_seconds: 604_800, replicas: undefined };
const CONFIG = `
[limits]
messages_per_second = 1_000_000
bytes_per_second = 1_000_000_000
user_messages_per_second = 1_000_000
#constant limits.command_timeout_ms = 5_000
[presence]
#constant presence.heartbeat_ms = 250
#constant presence.brain_timeout_ms = 1_000
#constant reducers.snapshot_entries = 1_000
${reducedRooms("count-*", "counter", `history_size = ${RETENTION.history_size}`)}
`;
/** Every third of these faults hits a Shield, too. */
const SHIELD_EVERY = 3;
const SPARE_MS = 1_000;
const ELSEWHERE = 2;

/** Each Brain in turn is killed or disconnected, so that every room loses its owner. */
function planOf({ seconds, every_ms }: ReducerPlan, random: Random): Fault[] {
  const faults: Fault[] = [];
  const count = Math.floor(seconds * 1_000 / every_ms);
  const away = () => random.int(Math.ceil(every_ms / 10), Math.ceil(every_ms * 0.6));
  for (let at = 0; at < count; at++) {
    const at_ms = at * every_ms;
    const kind = random.chance(0.6) ? "kill" : "cut";
    faults.push({ at_ms, target: BRAINS[at % BRAINS.length]!, kind, away_ms: away() });
    if (at % SHIELD_EVERY !== 1) continue;
    const target = random.pick(SHIELDS);
    faults.push({ at_ms: at_ms + every_ms / 2, target, kind: "kill", away_ms: away() });
  }
  return faults;
}

/** The durations of calls, including retries. */
function waits(calls: readonly MadeCall[]): string {
  const sorted = Float64Array.from(calls, ({ from, to }) => (to - from) / 1e6).sort();
  const at = (share: number) => (sorted[Math.ceil(share * sorted.length) - 1] ?? 0).toFixed(0);
  return `ms: half ${at(0.5)}, 99 % ${at(0.99)}, 99.9 % ${at(0.999)}, all ${at(1)}`;
}

async function judge(
  plan: ReducerPlan,
  { bus, callers, dir }: { bus: Fleet; callers: Callers; dir: string },
  say: Say,
): Promise<{ problems: string[]; report: string[] }> {
  const histories = [...callers.calls].map(([room, { made }]) => ({ room, calls: made }));
  say(`${callers.count} calls are answered; they are judged`);
  const verdicts = await linearizable(histories);
  const problems = verdicts.flatMap((verdict, at) =>
    verdict === "Ok" ? [] : [`${histories[at]!.room}: porcupine says ${verdict}`]
  );
  const config = configFrom({ nats: { urls: [...bus.nats_urls], request_timeout_ms: 60_000 } });
  const spine = await openSpine(config, { log: testLog(), now: Date.now });
  let entries = 0;
  let elsewhere = 0;
  const folds_elsewhere = await wasmtimeThere() ? plan.elsewhere ?? ELSEWHERE : 0;
  if (folds_elsewhere === 0) say("nothing is folded in wasmtime (deno task test:python)");
  try {
    const durable = await spine.log(TENANT, RETENTION);
    const objects = await spine.objects(REDUCER_OBJECTS);
    for (const [at, history] of histories.entries()) {
      problems.push(...judgeEntries(history, await eventsOf(durable, history.room)));
      const source = sourceOf(durable, objects, history.room);
      const one = await folded(source);
      const again = await folded(source);
      entries += one.entries;
      problems.push(...one.problems.slice(0, 10));
      if (one.chain !== again.chain || one.values !== again.values) {
        problems.push(`${history.room}: two folds come to two digests`);
      }
      if (at >= folds_elsewhere) continue;
      const other = await foldedElsewhere(source, `${dir}/${history.room}.ndjson`);
      elsewhere += other.entries;
      if (other.chain !== one.chain || other.values !== one.values) {
        problems.push(`${history.room}: wasmtime comes to ${other.chain}, V8 to ${one.chain}`);
      }
    }
  } finally {
    await spine.drain();
  }
  const refusals = [...callers.refusals].toSorted().map(([reason, count]) => `${reason} ${count}`);
  return {
    problems,
    report: [
      `calls     ${callers.count} answered in ${histories.length} rooms, ${callers.repeated} by what an ` +
      `earlier attempt had come to; porcupine judged all`,
      `waited    ${waits(histories.flatMap(({ calls }) => calls))}`,
      `refused   ${refusals.join(", ") || "nothing"}`,
      `folded    ${entries} entries from the first one, twice; ${elsewhere} of them in wasmtime`,
    ],
  };
}

/** Runs everything. Rejects only if the cluster does not start or restart. */
export async function runReducers(plan: ReducerPlan, say: Say): Promise<ReducerVerdict> {
  const dir = await Deno.makeTempDir({ prefix: "arqon-reducers-" });
  const random = createRandom(plan.seed);
  const surprises: string[] = [];
  const onSurprise = (text: string) => void surprises.push(text);
  await using owned = new AsyncDisposableStack();
  const bus = owned.use(
    await Fleet.open({
      brains: BRAINS,
      shields: SHIELDS,
      balancers: BALANCERS,
      servers: plan.servers,
      proxied: true,
      config: CONFIG,
      server_lines: "drain_ms = 500\n",
      dir,
      say,
      onSurprise,
      // NATS has no faults, and the disk should not limit the rate.
      sync_interval: "2m",
    }),
  );
  await bus.start();
  const callers = owned.use(
    await Callers.open({
      urls: bus.hosts.map((host) => `ws://${host}`),
      tokenFor: (sub) => bus.issuer.tokenFor({ tenant_id: TENANT, sub, role: "service" }),
      rooms: Array.from({ length: plan.rooms }, (_, at) => `count-${at}`),
      callers_per_room: plan.callers_per_room,
      random: random.fork(1),
      onSurprise,
    }),
  );
  const faults = planOf(plan, random.fork(2));
  const began_ms = performance.now();
  const running = callers.run();
  await bus.suffer(faults);
  await new Promise((resolve) => setTimeout(resolve, SPARE_MS));
  const seconds = (performance.now() - began_ms) / 1_000;
  callers.end();
  await running;
  const { problems, report } = await judge(plan, { bus, callers, dir }, say);
  for (const line of report) say(line);
  const rate = `${(callers.count / seconds).toFixed(0)} calls a second for ${seconds.toFixed(0)} s`;
  return {
    problems: [...problems, ...surprises, ...bus.bugs()],
    seed: plan.seed,
    dir,
    report: [`faults    ${faults.length}; ${rate}`, ...report],
  };
}
