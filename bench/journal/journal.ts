/** The scenario `journal`: what writing every decision costs a Shield, and what it takes on disk. */
import { measureBlocks, renderBlocks } from "./journal_blocks.ts";
import { type JournalPrice, measureJournal, renderJournal } from "./journal_bus.ts";
import { part, type Parts, runParts } from "../measure/parts.ts";
import { failureOfLost, type Scenario, type ScenarioResult, text } from "../measure/scenario.ts";
import type { OptionValues } from "../measure/scenario.ts";

const HELP =
  `journal: what the journal of decisions costs. In turns within one run: the CPU time of a
message with one policy, with every decision written and with none; what a decision takes on disk; and
how fast blocks are made and read.

  --only PARTS      blocks, bus; with commas (all)
  --rounds N        turns of each row; medians over them count (5)
  --seconds N       counted time of a turn of the bus (3)
`;

/** The parts by name, in the order in which they run. */
const PARTS: Parts = {
  blocks: ({ rounds }) => part(Promise.resolve(measureBlocks(rounds)), renderBlocks),
  bus: ({ rounds, seconds }) => part(measureJournal(rounds, seconds), renderJournal),
};

async function run(values: OptionValues): Promise<ScenarioResult> {
  const { report, tables } = await runParts(PARTS, values);
  const { bus = [] } = report as { readonly bus?: readonly JournalPrice[] };
  const failure = failureOfLost(bus.some(({ missing, lost }) => missing + lost > 0));
  return { report, table: tables.join("\n\n"), failure };
}

/** The scenario of `deno task bench journal`. */
export const JOURNAL: Scenario = {
  name: "journal",
  help: HELP,
  options: { only: text(""), rounds: text("5"), seconds: text("3") },
  run,
};
