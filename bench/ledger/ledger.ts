/**
 * The scenario `ledger`: what the ledger of deliveries costs a bus in CPU time, in memory and stored, beside the same
 * bus without one, and what an hour of chat takes in its memory. The buses take many short turns in an order that
 * changes, and each round is compared with itself: what else the machine does then is about the same for all.
 */
import { writeEnvelope } from "@arqon/proto";
import { Ledger } from "../../shield/ledger/ledger.ts";
import { openLoop } from "../measure/open_loop.ts";
import {
  failureOfLost,
  type OptionValues,
  positive,
  ROOT,
  type Scenario,
  type ScenarioResult,
  text,
} from "../measure/scenario.ts";
import { median } from "../measure/statistics.ts";
import { renderRows } from "../measure/table.ts";
import { type BusProcess, openOnBus, startBus } from "../measure/targets.ts";
import { cpuSecondsBetween, type Usage, usagesOf } from "../measure/usage.ts";

const HELP =
  `ledger: CPU time of a message with the ledger of deliveries, with it stored, and without, in turns on
three buses (publish -> receive, a room for each connection), and the memory that an hour of the scenario
chat (100 messages/s in 72 rooms, whose 500 members come back every ten minutes) takes in the ledger.

  --rate N          messages a second (5000)
  --rounds N        turns of each bus (120)
  --turn_ms N       how long a turn is (250); what is stored is written as often, where a bus of
                    itself does it every 5 s: so each turn pays for what it stores
`;

/** Goals: the part of the CPU time, and the memory of the hour. */
const GOAL_SHARE = 0.03;
const GOAL_BYTES = 64 * 2 ** 20;
const CONNECTIONS = 50;
const BODY_BYTES = 200;
const CONFIG = `${ROOT}/bench/policy/policy_price.toml`;
/** The scenario `chat`. */
const CHAT = { rooms: 72, members: 500, messages_per_s: 100, seconds: 3_600, back_seconds: 600 };

/** The buses: without a ledger, with one in memory, and with one that is stored. */
const BUSES = ["without", "memory", "store"] as const;
type Bus = typeof BUSES[number];
/** Turns of each bus before any counts. */
const WARM_ROUNDS = 2;

/** One turn of one bus; CPU time by message. */
interface Turn {
  readonly bus: Bus;
  readonly cpu_us: number;
  readonly p99_ms: number;
  readonly missing: number;
}

/** A bus with its files in `data_dir`, which it must be allowed to write. */
async function startWith(kind: Bus, data_dir: string, flush_ms: number): Promise<BusProcess> {
  const file = `${data_dir}/config.toml`;
  const config = await Deno.readTextFile(CONFIG);
  await Deno.writeTextFile(
    file,
    `${config.replace("[server]\n", `[server]\ndata_dir = "${data_dir}"\n`)}
[ledger]
enabled = ${kind !== "without"}
store = ${kind === "store"}
flush_ms = ${flush_ms}
`,
  );
  return await startBus(file);
}

async function turn(
  { pid, url, token }: BusProcess,
  bus: Bus,
  rate: number,
  turn_ms: number,
): Promise<Turn> {
  const target = {
    name: bus,
    open: (index: number, onEcho: () => void) => openOnBus(url, token, index, onEcho),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  const usages: Usage[] = [];
  const read = async () => void usages.push((await usagesOf([[pid]]))[0]!);
  const { sent, received, p99_ms } = await openLoop(target, {
    ...{ rate, seconds: turn_ms / 1_000, warmup_seconds: 0 },
    ...{ connections: CONNECTIONS, body_bytes: BODY_BYTES },
    ...{ from: "sent", onOpen: read, onAnswered: read },
  });
  const cpu_us = 1e6 * cpuSecondsBetween(usages[0]!, usages[1]!) / received;
  return { bus, cpu_us, p99_ms, missing: sent - received };
}

/** A stamped message with all ids that one may have. */
function envelopeOf(number: number): Uint8Array {
  return writeEnvelope({
    trace_id: number.toString(16).padStart(32, "0"),
    tenant_id: "default",
    room_id: "room",
    headers: { "X-Twist-ID": crypto.randomUUID() },
    sender_id: "member",
    message_id: crypto.randomUUID(),
    event: { type: "chat", data: new Uint8Array(8) },
  });
}

/** What an hour of chat takes, with all of its members coming back again and again. */
function chatBytes(): number {
  let now_ms = 1_700_000_000_000;
  const ledger = new Ledger({ bytes_max: 2 ** 30, kept_ms: 3_600_000, now: () => now_ms });
  const { rooms, members, messages_per_s, seconds, back_seconds } = CHAT;
  const all = Array.from({ length: rooms }, (_, at) => ledger.openRoom("default", `room-${at}`));
  for (let second = 0; second < seconds; second++) {
    for (let count = 0; count < messages_per_s; count++) {
      now_ms += 1_000 / messages_per_s;
      const number = second * messages_per_s + count;
      ledger.message(all[number % rooms]!, envelopeOf(number), 0);
      ledger.sent();
    }
    if (second % back_seconds === back_seconds - 1) endAll(ledger, all, members, now_ms);
  }
  return ledger.bytes;
}

function endAll(
  ledger: Ledger,
  rooms: readonly ReturnType<Ledger["openRoom"]>[],
  members: number,
  now_ms: number,
): void {
  for (let member = 0; member < members; member++) {
    const number = ledger.nextConnection();
    const subscription = { since: 1, since_ms: now_ms, why: "closed", batch: false };
    ledger.left(rooms[member % rooms.length]!, number, subscription);
    ledger.ended(number, {
      connection_id: crypto.randomUUID(),
      tenant_id: "default",
      user_id: `member-${member}`,
      remote_ip: "203.0.113.17",
      began_ms: now_ms,
      code: 1001,
      reason: "",
      unsent_bytes: 0,
      queued_from: 0,
    });
  }
}

/** Runs the rounds, each with a turn of each bus; the order goes round. */
async function measure(rate: number, rounds: number, turn_ms: number): Promise<Turn[]> {
  const dir = `${ROOT}/.arqon`;
  await Deno.mkdir(dir, { recursive: true });
  await using started = new AsyncDisposableStack();
  const buses: (readonly [Bus, BusProcess])[] = [];
  for (const bus of BUSES) {
    const data_dir = await Deno.makeTempDir({ dir });
    started.defer(() => Deno.remove(data_dir, { recursive: true }));
    buses.push([bus, started.use(await startWith(bus, data_dir, turn_ms))]);
  }
  const turns: Turn[] = [];
  for (let round = -WARM_ROUNDS; round < rounds; round++) {
    if (round % 10 === 0) console.error(`ledger, round ${round} of ${rounds} ...`);
    for (let place = 0; place < buses.length; place++) {
      const [bus, process] = buses[(round + WARM_ROUNDS + place) % buses.length]!;
      const one = await turn(process, bus, rate, turn_ms);
      // The optimising compiler must have seen all before anything counts.
      if (round >= 0) turns.push(one);
    }
  }
  return turns;
}

/** How much more than nothing it costs: the middle of all rounds, and within what that lies, 19 times of 20. */
interface Share {
  readonly middle: number;
  readonly least: number;
  readonly most: number;
}

/**
 * The middle of values, and the two of them between which the true middle lies with 95 %, whatever their
 * distribution: by the binomial distribution's normal approximation.
 */
function middleOf(values: readonly number[]): Share {
  const sorted = values.toSorted((a, b) => a - b);
  const half = 0.98 * Math.sqrt(sorted.length);
  const at = (place: number) => sorted[Math.min(sorted.length - 1, Math.max(0, place))]!;
  const [least, most] = [
    at(Math.floor(sorted.length / 2 - half)),
    at(Math.ceil(sorted.length / 2 + half)),
  ];
  return { middle: median(sorted), least, most };
}

const turnsOf = (turns: readonly Turn[], bus: Bus) => turns.filter((one) => one.bus === bus);

/** What a bus costs beside the one without a ledger: each round is compared with itself. */
function shareOf(turns: readonly Turn[], bus: Bus): Share {
  const without = turnsOf(turns, "without");
  return middleOf(
    turnsOf(turns, bus).map(({ cpu_us }, round) => cpu_us / without[round]!.cpu_us - 1),
  );
}

async function run(values: OptionValues): Promise<ScenarioResult> {
  const [rate, rounds, turn_ms] = ["rate", "rounds", "turn_ms"].map((one) => positive(values, one));
  const chat_bytes = chatBytes();
  const turns = await measure(rate!, rounds!, turn_ms!);
  const shares = { memory: shareOf(turns, "memory"), store: shareOf(turns, "store") };
  const missing = turns.some((one) => one.missing > 0);
  const report = { options: { rate, rounds, turn_ms }, turns, shares, chat_bytes };
  return { report, table: render(turns, shares, chat_bytes), failure: failureOfLost(missing) };
}

function render(
  turns: readonly Turn[],
  shares: Readonly<Record<"memory" | "store", Share>>,
  chat_bytes: number,
): string {
  const met = (is: boolean) => is ? "met" : "missed";
  const rows = BUSES.map((bus) => {
    const of = (key: "cpu_us" | "p99_ms") => median(turnsOf(turns, bus).map((one) => one[key]));
    return [bus, of("cpu_us").toFixed(1), of("p99_ms").toFixed(2)];
  });
  const percent = (part: number) => (100 * part).toFixed(1);
  const aims = [
    ...Object.entries(shares).map(([bus, { middle, least, most }]) => [
      `part of the CPU time, ${bus}`,
      "3 %",
      `${percent(middle)} % (${percent(least)} to ${percent(most)})`,
      met(middle < GOAL_SHARE),
    ]),
    [
      "an hour of chat",
      "64 MiB",
      `${(chat_bytes / 2 ** 20).toFixed(1)} MiB`,
      met(chat_bytes < GOAL_BYTES),
    ],
  ];
  return [
    renderRows(["ledger", "CPU µs a message", "p99 ms"], rows),
    renderRows(["aim", "below", "measured", ""], aims),
  ].join("\n\n");
}

/** The scenario of `deno task bench ledger`. */
export const LEDGER: Scenario = {
  name: "ledger",
  help: HELP,
  options: { rate: text("5000"), rounds: text("120"), turn_ms: text("250") },
  run,
};
