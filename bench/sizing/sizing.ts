/**
 * The scenario of `deno task bench sizing`: the calculated needs of a load. With `--check` it measures one, two and
 * three Shields here and compares them with the model of `model.ts`.
 */
import { measureProcesses, type ProcessesRow } from "./processes.ts";
import { type Options, scenario, UsageError, type Values } from "../measure/scenario.ts";
import { renderRows, renderTable } from "../measure/table.ts";
import { COSTS, type Price } from "./costs.ts";
import { deliveryUs, type Need, sizeOf, type Sizing, type SizingPlan } from "./model.ts";

/** The options, with the limits of the configuration at their defaults. Texts may be fractions. */
export const OPTIONS = {
  connections: [1_000_000, ""],
  "messages-per-minute": ["1", "publishes of a connection; may be 0.1"],
  room: [10, "members of a room, who all hear a message"],
  "rooms-each": [1, "rooms of a connection"],
  bytes: [256, "size of a body"],
  heartbeat: ["25", "seconds between PINGs"],
  back: [60, "seconds in which all can come back"],
  cores: [8, "of a machine for Shields"],
  memory: [16, "GB of such a machine"],
  use: ["50", "share of a core that may be used, in percent"],
  check: [false, "also measures 1, 2 and 3 Shields here, beside the model"],
} satisfies Options;

/** The plan of the options. Throws `UsageError`. */
export function planOf(values: Values<typeof OPTIONS>): SizingPlan {
  const above0 = (name: "messages-per-minute" | "heartbeat" | "use") => {
    const value = Number(values[name]);
    if (value > 0 && Number.isFinite(value)) return value;
    throw new UsageError(`--${name} expects a number above 0, got ${JSON.stringify(values[name])}`);
  };
  return {
    connections: values.connections,
    messages_per_minute: above0("messages-per-minute"),
    room: values.room,
    rooms_each: values["rooms-each"],
    size_bytes: values.bytes,
    heartbeat_ms: above0("heartbeat") * 1_000,
    back_seconds: values.back,
    cores: values.cores,
    memory_bytes: values.memory * 1e9,
    use: above0("use") / 100,
    connections_per_process: 18_000,
    process_memory_bytes: 2_147_483_648,
  };
}

const count = (value: number) => Math.round(value).toLocaleString("en-US");
const cores = (value: number) => `${value.toFixed(2)} cores`;
const needsText = (needs: readonly Need[]) =>
  needs.map(({ what, count }) => `${count} ${what}`).join(", ");

/** The needs of a load as a table, and a sentence about the limiting one. */
export function renderSizing(plan: SizingPlan, size: Sizing): string {
  const rows = [
    ["messages in", "", `${count(size.in_per_s)}/s`],
    ["deliveries out", `x ${plan.room} members`, `${count(size.out_per_s)}/s`],
    ...size.parts.map(({ what, arithmetic, cores: used }) => [what, arithmetic, cores(used)]),
    ["all Shields", `${cores(size.busy_cores)} with full turns`, cores(size.cores)],
    [
      "NATS, all servers",
      `in, and out to ${size.receiving.toFixed(1)} Shields each`,
      cores(size.nats_cores),
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

/** The loads of `--check`: the receivers of a message, with one publisher and with eight. */
const CHECKED = [
  { name: "1 to 200", publishers: 1, readers: 200, messages: 300 },
  { name: "8 to 4", publishers: 8, readers: 4, messages: 375 },
] as const;

/** The measured cost of a load on some Shields, and the model's. */
export interface Compared {
  readonly load: string;
  readonly shields: number;
  /** CPU in µs of all Shields for a delivery: the minimum of the rounds, with the least disturbance by other work. */
  readonly measured_us: number;
  readonly model_us: Price;
}

/** The model and the measurement. */
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

/** Whether a figure is between the prices of the model, within the factor `slack`. */
export function isWithin({ measured_us, model_us }: Compared, slack: number): boolean {
  const { calm, busy } = model_us;
  return measured_us >= busy * (1 - slack) && measured_us <= calm * (1 + slack);
}

/** Machines differ, and other work on the machine raises every cost. */
const SLACK = 0.25;

/** The scenario of `deno task bench sizing`. */
export const SIZING = scenario(
  "sizing",
  `what a load needs in cores, memory and processes, on paper, and what limits it;
arithmetic on measured costs, at once.`,
  OPTIONS,
  async (values) => {
    const plan = planOf(values);
    const size = sizeOf(COSTS, plan);
    const load = { counts: [1, 2, 3], rounds: 3, size_bytes: 256, loads: CHECKED };
    const checked = values.check ? compared(await measureProcesses(load)) : [];
    const beside = renderTable(checked, [
      ["load", ({ load }) => load],
      ["Shields", ({ shields }) => shields],
      ["CPU µs a delivery", ({ measured_us }) => measured_us, 1],
      ["model", ({ model_us: { busy, calm } }) => `${busy.toFixed(1)} to ${calm.toFixed(1)}`],
      ["", (one) => isWithin(one, SLACK) ? "" : "OUTSIDE"],
    ]);
    return {
      report: { plan, costs: COSTS, size, checked },
      table: [renderSizing(plan, size), ...(values.check ? [beside] : [])].join("\n\n"),
      failure: checked.every((one) => isWithin(one, SLACK))
        ? undefined
        : `a figure of this machine is more than ${SLACK * 100} % outside of the model`,
    };
  },
);
