/**
 * The scenario of `deno task bench sizing`: what a load needs on paper, and with `--check` what one, two and
 * three Shields cost here beside what the model says of them. The model is in `model.ts`.
 */
import type { ProcessesPlan, ProcessesRow } from "../processes/processes_child.ts";
import { runProgram } from "../measure/program.ts";
import { positive, type Scenario, text, UsageError } from "../measure/scenario.ts";
import type { OptionValues, ScenarioResult } from "../measure/scenario.ts";
import { renderRows } from "../measure/table.ts";
import { COSTS, type Price } from "./costs.ts";
import { deliveryUs, sizeOf } from "./model.ts";
import type { Need, Sizing, SizingPlan } from "./model.ts";

const HELP =
  `sizing: what a load needs in cores, memory and processes, on paper, and what limits it;
arithmetic on measured costs, at once.

  --connections N           (1000000)
  --messages-per-minute N   publishes of a connection; may be 0.1 (1)
  --room N                  members of a room, who all hear a message (10)
  --rooms-each N            rooms of a connection (1)
  --bytes N                 size of a body (256)
  --heartbeat N             seconds between PINGs (25)
  --back N                  seconds in which all can come back (60)
  --cores N                 of a machine for Shields (8)
  --memory N                GB of such a machine (16)
  --use N                   share of a core that may be used, in percent (50)
  --check                   also measures 1, 2 and 3 Shields here, beside the model
`;

function above0(values: OptionValues, name: string): number {
  const value = Number(values[name]);
  if (value > 0 && Number.isFinite(value)) return value;
  throw new UsageError(`--${name} expects a number above 0, got ${JSON.stringify(values[name])}`);
}

/** The plan of the options, with the limits of the configuration at their defaults. */
export function planOf(values: OptionValues): SizingPlan {
  return {
    connections: positive(values, "connections"),
    messages_per_minute: above0(values, "messages-per-minute"),
    room: positive(values, "room"),
    rooms_each: positive(values, "rooms-each"),
    size_bytes: positive(values, "bytes"),
    heartbeat_ms: above0(values, "heartbeat") * 1_000,
    back_seconds: positive(values, "back"),
    cores: positive(values, "cores"),
    memory_bytes: positive(values, "memory") * 1e9,
    use: above0(values, "use") / 100,
    connections_per_process: 18_000,
    process_memory_bytes: 2_147_483_648,
  };
}

const count = (value: number) => Math.round(value).toLocaleString("en-US");
const cores = (value: number) => `${value.toFixed(2)} cores`;
const needsText = (needs: readonly Need[]) =>
  needs.map(({ what, count }) => `${count} ${what}`).join(", ");

/** What a load needs, as a table, and in a sentence what limits it. */
export function renderSizing(plan: SizingPlan, size: Sizing): string {
  const rows = [
    ["messages in", "", `${count(size.in_per_s)}/s`],
    ["deliveries out", `x ${plan.room} members`, `${count(size.out_per_s)}/s`],
    ...size.parts.map(({ what, arithmetic, cores: used }) => [what, arithmetic, cores(used)]),
    ["all Shields", `${cores(size.busy_cores)} with full turns`, cores(size.cores)],
    [
      "NATS, all servers",
      `in, and out to ${size.hear.toFixed(1)} Shields each`,
      cores(
        size.nats_cores,
      ),
    ],
    ["NATS subscriptions", "two a room and Shield", count(size.nats_subscriptions)],
    [
      "memory of all Shields",
      `${size.processes} processes, ${(size.connection_bytes / 1e3).toFixed(1)} KB a connection`,
      `${(size.memory_bytes / 1e9).toFixed(1)} GB`,
    ],
    ["network out", "without TLS", `${(size.network_bits_per_s / 1e9).toFixed(2)} Gbit/s`],
    ["processes", needsText(size.process_needs), String(size.processes)],
    [
      `machines, ${plan.cores} cores each`,
      needsText(size.machine_needs),
      `${size.machines}, and one to spare`,
    ],
  ];
  const limits = `Processes are limited by ${size.process_needs[0]?.what}, machines by ${
    size.machine_needs[0]?.what
  }.`;
  return `${renderRows(["what", "arithmetic", "comes to"], rows)}\n\n${limits}`;
}

/** The loads of `--check`: so many hear a message of one publisher, and of eight. */
const CHECKED = [
  { name: "1 to 200", publishers: 1, readers: 200, messages: 300 },
  { name: "8 to 4", publishers: 8, readers: 4, messages: 375 },
] as const;

/** What a load on some Shields cost, beside what the model says. */
export interface Compared {
  readonly load: string;
  readonly shields: number;
  /** CPU in µs of all Shields for a delivery: the least of the rounds, which other work disturbed least. */
  readonly measured_us: number;
  readonly model_us: Price;
}

/** The model beside what was measured. */
export function compared(rows: readonly ProcessesRow[]): Compared[] {
  const kinds = Map.groupBy(rows, ({ load, count }) => `${load}\n${count}`);
  return [...kinds.values()].flatMap((rounds): Compared[] => {
    const { load, count } = rounds[0]!;
    const room = CHECKED.find(({ name }) => name === load)?.readers;
    if (room === undefined) return [];
    const measured_us = Math.min(...rounds.map(({ cpu_us }) => cpu_us));
    return [{ load, shields: count, measured_us, model_us: deliveryUs(COSTS, count, room) }];
  });
}

/** Whether a figure lies between the prices of the model, or at most `slack` of one beside them. */
export function isWithin({ measured_us, model_us }: Compared, slack: number): boolean {
  const { calm, busy } = model_us;
  return measured_us >= busy * (1 - slack) && measured_us <= calm * (1 + slack);
}

/** Machines differ, and other work on this one makes everything dearer. */
const SLACK = 0.25;

function renderCompared(all: readonly Compared[]): string {
  const rows = all.map((one) => [
    one.load,
    String(one.shields),
    one.measured_us.toFixed(1),
    `${one.model_us.busy.toFixed(1)} to ${one.model_us.calm.toFixed(1)}`,
    isWithin(one, SLACK) ? "" : "OUTSIDE",
  ]);
  return renderRows(["load", "Shields", "CPU µs a delivery", "model", ""], rows);
}

async function check(): Promise<ProcessesRow[]> {
  const plan: ProcessesPlan = { counts: [1, 2, 3], rounds: 3, size_bytes: 256, loads: CHECKED };
  const permissions = ["net", "read", "write", "run", "env"].map((name) => `--allow-${name}`);
  console.error("sizing: 1, 2 and 3 Shields on one NATS ...");
  return await runProgram<ProcessesRow[]>("bench/processes/processes_child.ts", permissions, [
    JSON.stringify(plan),
  ]);
}

async function run(values: OptionValues): Promise<ScenarioResult> {
  const plan = planOf(values);
  const size = sizeOf(COSTS, plan);
  const measured = values["check"] === true ? compared(await check()) : [];
  const tables = [
    renderSizing(plan, size),
    ...(measured.length === 0 ? [] : [renderCompared(measured)]),
  ];
  return {
    report: { plan, costs: COSTS, size, checked: measured },
    table: tables.join("\n\n"),
    failure: measured.every((one) => isWithin(one, SLACK))
      ? undefined
      : `a figure of this machine is more than ${SLACK * 100} % outside of the model`,
  };
}

/** The scenario of `deno task bench sizing`. */
export const SIZING: Scenario = {
  name: "sizing",
  help: HELP,
  options: {
    connections: text("1000000"),
    "messages-per-minute": text("1"),
    room: text("10"),
    "rooms-each": text("1"),
    bytes: text("256"),
    heartbeat: text("25"),
    back: text("60"),
    cores: text("8"),
    memory: text("16"),
    use: text("50"),
    check: { type: "boolean", default: false },
  },
  run,
};
