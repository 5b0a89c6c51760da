/**
 * The scenario `fanout`: one publisher, many readers of one room, with and without BATCH frames in
 * turns on one bus. The measuring is `fanout_child.ts`.
 */
import type { FanoutPlan, FanoutRow } from "./fanout_child.ts";
import { runProgram } from "./program.ts";
import { positive, type Scenario, type ScenarioResult, text, UsageError } from "./scenario.ts";
import type { OptionValues } from "./scenario.ts";
import { median } from "./statistics.ts";
import { renderRows } from "./table.ts";

const HELP = `fanout: one publisher to many readers of one room, with and without BATCH frames;
several messages at once are what a turn of the event loop brings on a busy bus. Medians of the
rounds; CPU is that of the whole bus, a delivery.

  --readers N       in each of the two ways (1000)
  --processes N     of clients, each way (2)
  --rounds N        (3)
  --seconds N       of each load (3)
  --rate N          messages a second (50)
  --bursts N,N      messages at once, for each in turn (1,5,20,100)
  --bytes N         size of a body (256)
`;

/** Medians of one load. */
interface Medians {
  readonly batch: boolean;
  readonly burst: number;
  readonly frames: number;
  readonly received: number;
  readonly expected: number;
  readonly cpu_us: number;
  readonly p50_ms: number;
  readonly p99_ms: number;
}

function mediansOf(rows: readonly FanoutRow[], burst: number, batch: boolean): Medians {
  const own = rows.filter((row) => row.burst === burst && row.batch === batch);
  const middle = (key: "cpu_us" | "p50_ms" | "p99_ms") => median(own.map((row) => row[key]));
  const sum = (key: "frames" | "received" | "expected") =>
    own.reduce((total, row) => total + row[key], 0);
  return {
    batch,
    burst,
    frames: sum("frames"),
    received: sum("received"),
    expected: sum("expected"),
    cpu_us: middle("cpu_us"),
    p50_ms: middle("p50_ms"),
    p99_ms: middle("p99_ms"),
  };
}

function render(rows: readonly Medians[]): string {
  const head = ["at once", "", "received", "messages a frame", "CPU µs", "p50 ms", "p99 ms"];
  return renderRows(
    head,
    rows.map((row) => [
      String(row.burst),
      row.batch ? "BATCH" : "MSG",
      String(row.received),
      (row.received / row.frames).toFixed(1),
      row.cpu_us.toFixed(2),
      row.p50_ms.toFixed(1),
      row.p99_ms.toFixed(1),
    ]),
  );
}

function burstsOf(values: OptionValues): number[] {
  const given = String(values["bursts"]);
  const bursts = given.split(",").map(Number);
  if (bursts.every((burst) => Number.isInteger(burst) && burst > 0)) return bursts;
  throw new UsageError(`--bursts expects whole numbers above 0, got ${JSON.stringify(given)}`);
}

async function run(values: OptionValues): Promise<ScenarioResult> {
  const plan: FanoutPlan = {
    readers: positive(values, "readers"),
    processes: positive(values, "processes"),
    rounds: positive(values, "rounds"),
    seconds: positive(values, "seconds"),
    rate: positive(values, "rate"),
    bursts: burstsOf(values),
    size_bytes: positive(values, "bytes"),
  };
  const permissions = ["net", "read", "write", "run", "env"].map((name) => `--allow-${name}`);
  console.error(`fanout: 1 to ${plan.readers}, with and without batches ...`);
  const measured = await runProgram<FanoutRow[]>(
    "bench/fanout_child.ts",
    permissions,
    [JSON.stringify(plan)],
  );
  const rows = plan.bursts.flatMap((burst) =>
    [false, true].map((batch) => mediansOf(measured, burst, batch))
  );
  const lost = rows.some(({ received, expected }) => received !== expected);
  return {
    report: { options: plan, rows, rounds: measured },
    table: render(rows),
    failure: lost ? "messages were lost; the figures above do not count them" : undefined,
  };
}

/** `deno task bench fanout`. */
export const FANOUT: Scenario = {
  name: "fanout",
  help: HELP,
  options: {
    readers: text("1000"),
    processes: text("2"),
    rounds: text("3"),
    seconds: text("3"),
    rate: text("50"),
    bursts: text("1,5,20,100"),
    bytes: text("256"),
  },
  run,
};
