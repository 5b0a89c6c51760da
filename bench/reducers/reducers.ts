/**
 * The scenario `reducers`: rooms that are programs. How fast one room is on one core, beside a bare publisher on NATS,
 * how long an event takes, and what a room that nobody calls takes in memory. `reducers_child.ts` measures.
 */
import { type Effort, part, type Parts, runParts } from "../measure/parts.ts";
import { positive, ROOT, type Scenario, type ScenarioResult, text } from "../measure/scenario.ts";
import type { OptionValues } from "../measure/scenario.ts";
import { median } from "../measure/statistics.ts";
import { renderRows } from "../measure/table.ts";
import type { IdleFigures, LatencyFigures, PaceRound, ReducersPlan } from "./reducers_child.ts";
import { BRAIN_FLAGS } from "../../shared/process/deno_command.ts";

const HELP =
  `reducers: rooms that are programs (policies/reducers/counter.ts: each call writes two values, answers and has
one event). Calls a second of one room on the embedded log, all of the process on one core; on NATS in turns with a
bare JetStream publisher on the same server, whose messages have the size of the events and are stored each for
itself, while the room stores up to 256 calls in one message and their events in one batch; from a call to its
event at a constant rate; memory of rooms that nobody calls.

  --only PARTS      embedded, nats, latency, idle; with commas (all)
  --rounds N        turns; medians over them count (5)
  --seconds N       counted time of a turn (3)
  --outstanding N   calls under way at a time (512)
  --rate N          calls a second for the latency (1000)
  --rooms N         rooms that nobody calls (10000)
`;

const GOALS = { per_s: 20_000, share: 0.5, event_ms: 20, idle_bytes: 10_000 };
/** Those that a Brain runs with (`deno.json`), and what measuring memory needs. */
const FLAGS = BRAIN_FLAGS.map((flag) => flag.replace("--v8-flags=", "--v8-flags=--expose-gc,"));
const SYNCING = ["later", "each"] as const;

/** The pace of a room beside a bare publisher, for one way of storing. */
interface Beside {
  readonly syncing: typeof SYNCING[number];
  readonly rounds: readonly PaceRound[];
}

/** Runs the program; `before` are words in front of its command. */
async function measured<T>(plan: ReducersPlan, before: readonly string[] = []): Promise<T> {
  const [command = "", ...args] = [
    ...[...before, Deno.execPath(), "run", "-A", ...FLAGS],
    ...[`${ROOT}/bench/reducers/reducers_child.ts`, JSON.stringify(plan)],
  ];
  console.error(`reducers: ${plan.part}, NATS syncs ${plan.syncing} ...`);
  const { success, stdout, stderr } = await new Deno.Command(command, { args }).output();
  const decoder = new TextDecoder();
  if (!success) throw new Error(decoder.decode(stderr).slice(-8_192));
  return JSON.parse(decoder.decode(stdout));
}

const medianOf = (rounds: readonly PaceRound[], key: "per_s" | "p50_ms" | "p99_ms" | "cpu_us") =>
  median(rounds.map((round) => round[key]));

function paceRow(name: string, rounds: readonly PaceRound[]): string[] {
  const cpu_us = medianOf(rounds, "cpu_us");
  return [
    ...[name, medianOf(rounds, "per_s").toFixed(0), cpu_us === 0 ? "" : cpu_us.toFixed(1)],
    ...[medianOf(rounds, "p50_ms").toFixed(1), medianOf(rounds, "p99_ms").toFixed(1)],
  ];
}

const PACE_HEAD = ["/s", "CPU µs a call", "p50 ms", "p99 ms"];

/** Each round's own pair: what else the machine does is about the same for both. */
function sharesOf({ rounds }: Beside): number[] {
  const [room, bare] = ["counter", "bare"].map((name) => rounds.filter(({ who }) => who === name));
  return room!.map(({ per_s }, at) => per_s / bare![at]!.per_s);
}

function renderBeside(all: readonly Beside[]): string {
  return all.map((beside) => {
    const { syncing, rounds } = beside;
    const of = (name: string) => rounds.filter(({ who }) => who === name);
    const shares = sharesOf(beside).toSorted((one, other) => one - other);
    const [least, most] = [shares[0]!, shares.at(-1)!].map((one) => one.toFixed(2));
    return renderRows([`NATS syncs ${syncing}`, ...PACE_HEAD, "of bare"], [
      [...paceRow("room", of("counter")), `${median(shares).toFixed(2)} (${least} to ${most})`],
      [...paceRow("bare JetStream", of("bare")), ""],
    ]);
  }).join("\n\n");
}

interface Report {
  readonly embedded?: readonly PaceRound[];
  readonly nats?: readonly Beside[];
  readonly latency?: LatencyFigures;
  readonly idle?: IdleFigures;
}

function aimsOf({ embedded, nats = [], latency, idle }: Report): string[][] {
  const aims: string[][] = [];
  const add = (aim: string, goal: string, is: string, met: boolean) =>
    void aims.push([aim, goal, is, met ? "met" : "missed"]);
  if (embedded !== undefined) {
    const per_s = medianOf(embedded, "per_s");
    add(
      "calls a second, one core, embedded",
      `${GOALS.per_s}`,
      per_s.toFixed(0),
      per_s >= GOALS.per_s,
    );
  }
  for (const beside of nats) {
    const share = median(sharesOf(beside));
    const name = `of a bare publisher, NATS syncs ${beside.syncing}`;
    add(name, `${GOALS.share}`, share.toFixed(2), share >= GOALS.share);
  }
  if (latency !== undefined) {
    const { rate, event_p99_ms: is } = latency;
    add(
      `call to event, p99 ms at ${rate}/s`,
      `${GOALS.event_ms}`,
      is.toFixed(1),
      is < GOALS.event_ms,
    );
  }
  if (idle !== undefined) {
    for (
      const [name, bytes] of [["in memory", idle.loaded_bytes], [
        "let go",
        idle.forgotten_bytes,
      ]] as const
    ) {
      const is = `${(bytes / 1_000).toFixed(1)} kB`;
      add(
        `room that nobody calls, ${name}`,
        `${GOALS.idle_bytes / 1_000} kB`,
        is,
        bytes < GOALS.idle_bytes,
      );
    }
  }
  return aims;
}

function partsWith(outstanding: number, rate: number, rooms: number): Parts {
  const planOf = (name: ReducersPlan["part"], { rounds, seconds }: Effort) => ({
    ...{ part: name, rounds, seconds, outstanding, rate, rooms, syncing: "later" as const },
  });
  return {
    embedded: (effort) =>
      part(
        measured<PaceRound[]>(planOf("embedded", effort), ["taskset", "-c", "0"]),
        (rounds) => renderRows(["embedded, one core", ...PACE_HEAD], [paceRow("room", rounds)]),
      ),
    nats: (effort) =>
      part(
        (async () => {
          const all: Beside[] = [];
          for (const syncing of SYNCING) {
            const rounds = await measured<PaceRound[]>({ ...planOf("nats", effort), syncing });
            all.push({ syncing, rounds });
          }
          return all;
        })(),
        renderBeside,
      ),
    latency: (effort) =>
      part(
        measured<LatencyFigures>(planOf("latency", effort)),
        (one) =>
          renderRows(
            ["calls at a rate", "events", "event p50 ms", "event p99 ms", "answer p99 ms"],
            [[
              ...[`${one.rate}/s`, `${one.heard} of ${one.sent}`, one.event_p50_ms.toFixed(2)],
              ...[one.event_p99_ms.toFixed(2), one.answer_p99_ms.toFixed(2)],
            ]],
          ),
      ),
    idle: (effort) =>
      part(
        measured<IdleFigures>(planOf("idle", effort)),
        (one) =>
          renderRows(["rooms that nobody calls", "bytes in memory", "bytes let go"], [
            [`${one.rooms}`, one.loaded_bytes.toFixed(0), one.forgotten_bytes.toFixed(0)],
          ]),
      ),
  };
}

async function run(values: OptionValues): Promise<ScenarioResult> {
  const [outstanding, rate, rooms] = ["outstanding", "rate", "rooms"].map((name) =>
    positive(values, name)
  ) as [number, number, number];
  const { report, tables } = await runParts(partsWith(outstanding, rate, rooms), values);
  const aims = aimsOf(report as Report);
  const { latency } = report as Report;
  const is_lost = latency !== undefined && latency.heard < latency.sent;
  return {
    report: { ...report, aims },
    table: [...tables, renderRows(["aim", "goal", "measured", ""], aims)].join("\n\n"),
    failure: is_lost ? "events were lost" : undefined,
  };
}

/** The scenario of `deno task bench reducers`. */
export const REDUCERS: Scenario = {
  name: "reducers",
  help: HELP,
  options: {
    ...{ only: text(""), rounds: text("5"), seconds: text("3") },
    ...{ outstanding: text("512"), rate: text("1000"), rooms: text("10000") },
  },
  run,
};
