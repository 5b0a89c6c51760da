/**
 * The scenario `ledger`: what the ledger of deliveries costs a bus in CPU time, beside the same bus without
 * one, and what an hour of chat takes in its memory. The two buses take turns, since other load on the
 * machine would count for one of them only.
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
  `ledger: CPU time of a message with the ledger of deliveries and without, in turns on two buses
(publish -> receive, a room for each connection), and the memory that an hour of the scenario chat
(100 messages/s in 72 rooms, whose 500 members come back every ten minutes) takes in the ledger.

  --rate N          messages a second (5000)
  --rounds N        turns of each bus (6)
  --seconds N       of a turn (4)
`;

/** Goals: the part of the CPU time, and the memory of the hour. */
const GOAL_SHARE = 0.03;
const GOAL_BYTES = 64 * 2 ** 20;
const CONNECTIONS = 50;
const BODY_BYTES = 200;
const CONFIG = `${ROOT}/bench/policy/policy_price.toml`;
/** The scenario `chat`. */
const CHAT = { rooms: 72, members: 500, messages_per_s: 100, seconds: 3_600, back_seconds: 600 };

/** One turn of one bus. */
interface Turn {
  readonly is_on: boolean;
  readonly cpu_us: number;
  readonly p99_ms: number;
  readonly missing: number;
}

async function startWith(is_on: boolean): Promise<BusProcess> {
  const dir = `${ROOT}/.arqon`;
  await Deno.mkdir(dir, { recursive: true });
  const file = await Deno.makeTempFile({ dir, suffix: ".toml" });
  const config = await Deno.readTextFile(CONFIG);
  await Deno.writeTextFile(file, `${config}\n[ledger]\nenabled = ${is_on}\n`);
  const bus = await startBus(file);
  await Deno.remove(file);
  return bus;
}

async function turn(bus: BusProcess, is_on: boolean, rate: number, seconds: number): Promise<Turn> {
  const target = {
    name: is_on ? "with" : "without",
    open: (index: number, onEcho: () => void) => openOnBus(bus.url, bus.token, index, onEcho),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  const usages: Usage[] = [];
  const read = async () => void usages.push((await usagesOf([[bus.pid]]))[0]!);
  const { sent, received, p99_ms } = await openLoop(target, {
    ...{ rate, seconds, warmup_seconds: 0, connections: CONNECTIONS, body_bytes: BODY_BYTES },
    ...{ from: "sent", onOpen: read, onAnswered: read },
  });
  const cpu_us = 1e6 * cpuSecondsBetween(usages[0]!, usages[1]!) / received;
  return { is_on, cpu_us, p99_ms, missing: sent - received };
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

async function run(values: OptionValues): Promise<ScenarioResult> {
  const [rate, rounds, seconds] = ["rate", "rounds", "seconds"].map((one) => positive(values, one));
  const chat_bytes = chatBytes();
  const turns: Turn[] = [];
  {
    await using without = await startWith(false);
    await using beside = await startWith(true);
    // The optimising compiler must have seen both before anything counts.
    for (const [bus, is_on] of [[without, false], [beside, true]] as const) {
      await turn(bus, is_on, rate!, seconds!);
    }
    for (let round = 0; round < rounds!; round++) {
      console.error(`ledger, round ${round + 1} of ${rounds} ...`);
      const pair = [[without, false], [beside, true]] as const;
      for (const [bus, is_on] of round % 2 === 0 ? pair : pair.toReversed()) {
        turns.push(await turn(bus, is_on, rate!, seconds!));
      }
    }
  }
  const of = (is_on: boolean, key: "cpu_us" | "p99_ms") =>
    median(turns.filter((one) => one.is_on === is_on).map((one) => one[key]));
  // The two turns of a round are neighbours: what else the machine does is about the same for both.
  const rounds_of = (is_on: boolean) => turns.filter((one) => one.is_on === is_on);
  const [on, off] = [rounds_of(true), rounds_of(false)];
  const share = median(on.map(({ cpu_us }, round) => cpu_us / off[round]!.cpu_us)) - 1;
  const missing = turns.some((one) => one.missing > 0);
  const report = { options: { rate, rounds, seconds }, turns, share, chat_bytes };
  return { report, table: render(of, share, chat_bytes), failure: failureOfLost(missing) };
}

function render(
  of: (is_on: boolean, key: "cpu_us" | "p99_ms") => number,
  share: number,
  chat_bytes: number,
): string {
  const met = (is: boolean) => is ? "met" : "missed";
  const rows = [false, true].map((is_on) => [
    is_on ? "with" : "without",
    of(is_on, "cpu_us").toFixed(1),
    of(is_on, "p99_ms").toFixed(2),
  ]);
  const aims = [
    ["part of the CPU time", "3 %", `${(100 * share).toFixed(1)} %`, met(share < GOAL_SHARE)],
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
  options: { rate: text("5000"), rounds: text("6"), seconds: text("4") },
  run,
};
