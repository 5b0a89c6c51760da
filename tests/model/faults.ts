/**
 * Faults as a dimension of the covering array: rows that combine each value of each factor with each fault. Rows with
 * the same fault run together. Faults that change no promise are here (`calm`): the model is the same, message for
 * message; `fault_model.ts` permits several outcomes if connections or servers are lost.
 */
import { seeded } from "../../shared/testing/seeded.ts";
import { pace } from "../../shared/testing/pace.ts";
import { until } from "../../shared/testing/until.ts";
import { samplesOf } from "../harness/server_state.ts";
import { levelOf, type Values } from "./covering.ts";
import { FACTORS, isPossible, type Row, SEATS } from "./factors.ts";

const keyOf = (name: string, value: string) => levelOf(SEATS, name, value);

const shuffled = <T>(all: readonly T[], random: () => number): T[] =>
  all.map((one) => [random(), one] as const).sort(([a], [b]) => a - b).map(([, one]) => one);

/** A row with `open` values where possible, the others random; undefined: the prefix cannot be completed. */
function drawn(
  open: ReadonlySet<string>,
  isRight: (row: Partial<Row>) => boolean,
  factors: Values,
  random: () => number,
): Row | undefined {
  let row: Record<string, string> = {};
  for (const name of shuffled(Object.keys(factors), random)) {
    const values = shuffled(factors[name]!, random);
    const first = values.filter((value) => open.has(keyOf(name, value)));
    const value = [...first, ...values].find((value) => isRight({ ...row, [name]: value }));
    if (value === undefined) return undefined;
    row = { ...row, [name]: value };
  }
  return row as unknown as Row;
}

/**
 * Candidates per row, of which the best is used, where few rows are wanted: with one candidate there are a third more
 * rows.
 */
export const TRIES = 10;

/** Attempts until the open values are considered impossible; a row takes some dozens. */
const DRAWS_MAX = 10_000;

/**
 * Few rows that combine each value with the fault of that number; the remaining values are random, seeded by the fault.
 */
export function faultRows(
  fault: number,
  isApt: (row: Partial<Row>) => boolean = () => true,
  factors: Values = FACTORS,
  tries_max = 1,
): Row[] {
  const random = seeded(fault + 1);
  const isRight = (row: Partial<Row>) => isPossible(row) && isApt(row);
  const isReached = (chosen: Partial<Row>) =>
    Object.entries(factors).every(([name, values]) =>
      name in chosen || values.some((value) => isRight({ ...chosen, [name]: value }))
    );
  const open = new Set(
    Object.entries(factors).flatMap(([name, values]) =>
      values.filter((value) => isRight({ [name]: value }) && isReached({ [name]: value }))
        .map((value) => keyOf(name, value))
    ),
  );
  const openIn = (row: Row) =>
    new Set(Object.entries(row).map(([name, value]) => keyOf(name, value))).intersection(open);
  const rows: Row[] = [];
  for (let draws = 0; open.size > 0; draws++) {
    if (draws > DRAWS_MAX) throw new Error(`no row has ${[...open].join(", ")}`);
    const tries = Array.from({ length: tries_max }, () => drawn(open, isRight, factors, random))
      .filter((row) => row !== undefined);
    const [row] = tries.toSorted((a, b) => openIn(b).size - openIn(a).size);
    if (row === undefined) continue;
    rows.push(row);
    for (const key of openIn(row)) open.delete(key);
  }
  return rows;
}

/** Injects the fault repeatedly, at seeded random moments, while `run` continues; at least once. */
export async function struck<T>(
  run: () => Promise<T>,
  strike: (random: () => number) => Promise<void> | void,
  pause_ms: number,
  seed = 1,
): Promise<T> {
  const random = seeded(seed);
  let is_over = false;
  const striking = (async () => {
    do {
      await strike(random);
      await pace(pause_ms * (0.5 + random()));
    } while (!is_over);
  })();
  striking.catch(() => {});
  try {
    return await run();
  } finally {
    is_over = true;
    await striking;
  }
}

/** Gauges that have to be back once all clients are disconnected: connections, subscriptions, queues. */
const GAUGES = [
  "arqon_spine_pending_bytes",
  "shield_active_connections",
  "shield_subscriptions",
  "shield_rooms",
  "shield_patterns",
  "shield_pattern_rooms",
  "shield_unsent_bytes",
  "shield_event_streams",
  "shield_handshakes_under_way",
  "shield_filters",
  "shield_pending_operations",
  "shield_flush_queue_depth",
  "shield_log_pending_appends",
  "shield_log_open_rooms",
  "shield_presence_members",
  "shield_growing_messages",
  "brain_pending_commands",
  "brain_pending_bytes",
];

type Gauges = ReadonlyMap<string, number>;

/** The gauges of a process, summed over their labels. */
export async function gaugesOf(ops_url: string): Promise<Gauges> {
  const samples = await samplesOf(ops_url);
  return new Map(GAUGES.map((name) => {
    const mine = [...samples].filter(([one]) => one === name || one.startsWith(`${name}{`));
    return [name, mine.reduce((sum, [, value]) => sum + value, 0)];
  }));
}

/** Resolves once the process is idle: its gauges are back. Rejects with those that are not. */
export async function idleAgain(ops_url: string, before: Gauges): Promise<void> {
  let left = "";
  await until(() => `${ops_url} is idle: ${left}`, async () => {
    const now = await gaugesOf(ops_url);
    left = [...before].filter(([name, value]) => (now.get(name) ?? Infinity) > value)
      .map(([name, value]) => `${name} ${now.get(name)}, before ${value}`).join("; ");
    return left === "";
  });
}
