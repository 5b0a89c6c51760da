/**
 * The scenario `echo`: publish -> receive at a constant rate through the bus, beside a bare Deno
 * WebSocket server under the same load in the same run.
 */
import { loadOptions, openLoop } from "./open_loop.ts";
import type { LoadResult } from "./open_loop.ts";
import { renderTable } from "./report.ts";
import { type Scenario, type ScenarioResult, text } from "./scenario.ts";
import type { OptionValues } from "./scenario.ts";
import { arqonEmbedded, bareDeno } from "./targets.ts";

const HELP = `echo: publish -> receive at a constant rate; every connection publishes to a room of
its own and hears itself. The same load runs against a bare Deno echo server.

  --rate N          messages a second, all connections together (10000)
  --seconds N       counted time (10)
  --warmup N        seconds before that are not counted (2)
  --connections N   (10)
  --bytes N         size of a body (256)
`;

async function run(values: OptionValues): Promise<ScenarioResult> {
  const options = loadOptions(values);
  const results: LoadResult[] = [];
  for (const start of [arqonEmbedded, bareDeno]) {
    await using target = await start();
    console.error(`${target.name}: ${options.rate}/s for ${options.seconds} s ...`);
    results.push(await openLoop(target, options));
  }
  const [ours, limit] = results as [LoadResult, LoadResult];
  const ratio = { p50: ours.p50_ms / limit.p50_ms, p99: ours.p99_ms / limit.p99_ms };
  const lost = results.some(({ sent, received }) => sent !== received);
  return {
    report: { options, results, ratio },
    table: renderTable(results),
    failure: lost ? "messages were lost; the figures above do not count them" : undefined,
  };
}

/** `deno task bench echo`. */
export const ECHO: Scenario = {
  name: "echo",
  help: HELP,
  options: {
    rate: text("10000"),
    seconds: text("10"),
    warmup: text("2"),
    connections: text("10"),
    bytes: text("256"),
  },
  run,
};
