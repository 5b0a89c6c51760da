/**
 * The scenario of `deno task bench bridge`: from a commit in PostgreSQL to a client of the bus, beside a bare
 * `LISTEN` that hears the same commits. `bridge_child.ts` measures.
 */
import { runProgram } from "../measure/program.ts";
import { positive, type Scenario, text } from "../measure/scenario.ts";
import { renderRows } from "../measure/table.ts";
import type { BridgePlan, BridgeRow } from "./bridge_child.ts";

const HELP = `bridge              from a commit in PostgreSQL to a client, beside LISTEN and NOTIFY
  --transactions N  of each row, one after the other (300)
  --poll_ms N       how often the bridge that polls reads the log (250)
`;

const ms = (value: number) => value.toFixed(1);

function render(rows: readonly BridgeRow[]): string {
  const head = [
    ...["commit to client, ms", "transactions", "p50", "p99"],
    ...["NOTIFY p50", "NOTIFY p99"],
  ];
  return renderRows(
    head,
    rows.map(({ reading, room, bus, notify }) => [
      `${reading}, ${room} room`,
      String(bus.count),
      ...[ms(bus.p50_ms), ms(bus.p99_ms), ms(notify.p50_ms), ms(notify.p99_ms)],
    ]),
  );
}

/** The scenario with a real PostgreSQL, bus and bridge. */
export const BRIDGE: Scenario = {
  name: "bridge",
  help: HELP,
  options: { transactions: text("300"), poll_ms: text("250") },
  async run(values) {
    const plan: BridgePlan = {
      transactions: positive(values, "transactions"),
      poll_ms: positive(values, "poll_ms"),
    };
    const permissions = ["net", "read", "write", "run", "env", "sys"].map((name) =>
      `--allow-${name}`
    );
    const rows = await runProgram<BridgeRow[]>("bench/bridge/bridge_child.ts", permissions, [
      JSON.stringify(plan),
    ]);
    return { report: { plan, rows }, table: render(rows) };
  },
};
