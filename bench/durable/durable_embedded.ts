/**
 * Runs the measurement of appends to the embedded engine's log and renders its table.
 * `durable_embedded_child.ts` measures.
 */
import type { EmbeddedPlan, EmbeddedRound } from "./durable_embedded_child.ts";
import type { Effort } from "../measure/parts.ts";
import { runProgram } from "../measure/program.ts";
import { median } from "../measure/statistics.ts";
import { renderRows } from "../measure/table.ts";

const ROOMS = [1, 1_000];
const OUTSTANDING = 256;
const STORED_BYTES = 512;

/** Measures appends with this effort. */
export async function measureEmbedded(effort: Effort): Promise<EmbeddedRound[]> {
  console.error("durable: appends to the embedded log ...");
  const plan: EmbeddedPlan = {
    ...effort,
    rooms: ROOMS,
    outstanding: OUTSTANDING,
    stored_bytes: STORED_BYTES,
  };
  const permissions = ["net", "read", "write", "env"].map((name) => `--allow-${name}`);
  const args = [JSON.stringify(plan)];
  return await runProgram("bench/durable/durable_embedded_child.ts", permissions, args);
}

/** The table of the rounds: one row for each store and number of rooms. */
export function renderEmbedded(rounds: readonly EmbeddedRound[]): string {
  const rows = [...new Set(rounds.map(({ store, rooms }) => JSON.stringify([store, rooms])))];
  return renderRows(
    [`embedded log, ${OUTSTANDING} under way`, "rooms", "appends/s", "p50 ms", "p99 ms"],
    rows.map((key) => {
      const [store, rooms] = JSON.parse(key);
      const mine = rounds.filter((round) => round.store === store && round.rooms === rooms);
      return [
        store === "memory" ? "in memory" : `file, synchronous ${store}`,
        String(rooms),
        median(mine.map(({ commands_per_s }) => commands_per_s)).toFixed(0),
        median(mine.map(({ p50_ms }) => p50_ms)).toFixed(2),
        median(mine.map(({ p99_ms }) => p99_ms)).toFixed(2),
      ];
    }),
  );
}
