/**
 * Runs the measurement of memory of durable rooms that nobody uses, and renders its table.
 * `durable_idle_child.ts` measures.
 */
import type { IdleMemory, IdlePlan, IdleReport } from "./durable_idle_child.ts";
import { runProgram } from "../measure/program.ts";
import { renderRows } from "../measure/table.ts";

/** Measures idle rooms, in a program that may force collections. */
export async function measureIdle(plan: IdlePlan): Promise<IdleReport> {
  console.error(`durable: memory after ${plan.rooms} rooms were published to once ...`);
  const permissions = ["net", "read", "write", "run", "env"].map((name) => `--allow-${name}`);
  const flags = [
    ...permissions,
    "--unstable-worker-options",
    "--v8-flags=--expose-gc,--no-wasm-lazy-compilation",
  ];
  return await runProgram("bench/durable/durable_idle_child.ts", flags, [JSON.stringify(plan)]);
}

/** Bytes that a room keeps, on the heap and outside of it; from the second half, when everything is warm. */
export function idleBytes({ rooms, after, twice }: IdleReport): number {
  const bytes = ({ heap_bytes, external_bytes }: IdleMemory) => heap_bytes + external_bytes;
  return (bytes(twice) - bytes(after)) / rooms;
}

/** The table of the three moments, and of what a room keeps. */
export function renderIdle(report: IdleReport): string {
  const { rooms, before, after, twice, open_rooms } = report;
  const row = (name: string, { heap_bytes, external_bytes, rss_bytes }: IdleMemory) => [
    name,
    ...[heap_bytes, external_bytes, rss_bytes].map((bytes) => (bytes / 1e6).toFixed(2)),
  ];
  const table = renderRows(["idle durable rooms", "heap MB", "external MB", "RSS MB"], [
    row("before", before),
    row(`after ${rooms} rooms`, after),
    row(`after ${2 * rooms} rooms`, twice),
  ]);
  return `${table}\nheap and external, a room: ${
    idleBytes(report).toFixed(1)
  } B; open: ${open_rooms}`;
}
