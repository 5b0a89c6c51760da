/** The scenario `durable`: compares durable rooms with a bare JetStream publisher. */
import { part, type Parts, runParts } from "../measure/parts.ts";
import { scenario } from "../measure/scenario.ts";
import { renderTable } from "../measure/table.ts";
import { ALONE, CLUSTER, measureWrites, nameOf, renderWrites, shares } from "./durable_write.ts";
import type { WriteReport } from "./durable_write.ts";

/**
 * The share of a bare publisher's rate that a Shield should reach. Missing it is a finding and does not fail the run.
 */
const SHARE = 0.7;

const percent = (share: number) => `${(share * 100).toFixed(0)} %`;

function renderShares(reports: readonly WriteReport[]): string {
  const all = reports.flatMap((report) =>
    shares(report).map((share) => ({ ...share, name: nameOf(report) }))
  );
  return renderTable(all, [
    ["aim", ({ name, rooms }) => `publishes of the bare publisher's, ${name}, ${rooms} rooms`],
    ["bound", () => `>= ${percent(SHARE)}`],
    ["measured", ({ median }) => percent(median)],
    ["", ({ median }) => median >= SHARE ? "met" : "missed"],
  ]);
}

/** The scenario of `deno task bench durable`. */
export const DURABLE = scenario(
  "durable",
  `what durable rooms cost. Publishes a second and the time to the ACK through a
whole Shield (process) on real NATS, in turns with a bare JetStream publisher on the same server, by
rooms; the same on three servers with three copies.`,
  {
    only: ["", "write, cluster; with commas; all"],
    rounds: [7, "turns of each row; medians over them count"],
    seconds: [1, "counted time of a turn"],
  },
  async (values) => {
    const parts: Parts = {
      write: (effort) => part(measureWrites(ALONE, effort), renderWrites),
      cluster: (effort) => part(measureWrites(CLUSTER, effort), renderWrites),
    };
    const { report, tables } = await runParts(parts, values);
    const { write = [], cluster = [] } = report as Record<string, WriteReport[]>;
    const table = [...tables, renderShares([...write, ...cluster])].join("\n\n");
    return { report, table };
  },
);
