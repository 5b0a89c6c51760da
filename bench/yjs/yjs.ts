/**
 * The scenario of `deno task bench yjs`: editors of one Yjs document over the bus, which keeps it, beside
 * `y-websocket`, whose server has it in memory. `yjs_child.ts` measures.
 */
import { runProgram } from "../measure/program.ts";
import { positive, type Scenario, text } from "../measure/scenario.ts";
import { renderRows } from "../measure/table.ts";
import type { YjsPlan, YjsRow } from "./yjs_child.ts";

const HELP = `yjs                 editors of one document, beside y-websocket
  --editors N       who type into it (10)
  --letters N       of each editor in a second (5)
  --seconds N       of each row (20)
`;

function render(rows: readonly YjsRow[]): string {
  const head = [
    ...["editors of one document", "letters", "sent, B", "got, B", "server CPU, µs"],
    ...["p50 ms", "p99 ms"],
  ];
  return renderRows(
    head,
    rows.map(({ target, cursors, letters, sent_bytes, got_bytes, cpu_us, latency }) => [
      `${target}${cursors ? ", cursors" : ""}`,
      ...[letters, sent_bytes, got_bytes, cpu_us].map((value) => value.toFixed(0)),
      ...[latency.p50_ms, latency.p99_ms].map((value) => value.toFixed(1)),
    ]),
  );
}

/** The scenario with a real bus and the server of `y-websocket`. */
export const YJS: Scenario = {
  name: "yjs",
  help: HELP,
  options: { editors: text("10"), letters: text("5"), seconds: text("20") },
  async run(values) {
    const plan: YjsPlan = {
      editors: positive(values, "editors"),
      letters: positive(values, "letters"),
      seconds: positive(values, "seconds"),
    };
    const permissions = ["net", "read", "write", "run", "env", "sys"].map((name) =>
      `--allow-${name}`
    );
    const rows = await runProgram<YjsRow[]>("bench/yjs/yjs_child.ts", permissions, [
      JSON.stringify(plan),
    ]);
    return { report: { plan, rows }, table: render(rows) };
  },
};
