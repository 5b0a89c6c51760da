/** The scenario `durable`: what durable rooms cost, beside a bare JetStream publisher. */
import { type Aim, renderAims } from "../measure/aims.ts";
import { part, type Parts, runParts } from "../measure/parts.ts";
import { scenario } from "../measure/scenario.ts";
import { ALONE, CLUSTER, measureWrites, nameOf, renderWrites, shares } from "./durable_write.ts";
import type { WriteReport } from "./durable_write.ts";

/** Share of a bare publisher's pace that a Shield is to reach. */
const SHARE = 0.7;

interface Measured {
  readonly write?: readonly WriteReport[];
  readonly cluster?: readonly WriteReport[];
}

function aimsOf({ write = [], cluster = [] }: Measured): Aim[] {
  return [...write, ...cluster].flatMap((report) =>
    shares(report).map(({ rooms, median }): Aim => ({
      name: `publishes of the bare publisher's, ${nameOf(report)}, ${rooms} rooms`,
      measured: median * 100,
      bound: SHARE * 100,
      unit: "%",
      at_least: true,
    }))
  );
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
    const aims = aimsOf(report as Measured);
    return { report: { ...report, aims }, table: [...tables, renderAims(aims)].join("\n\n") };
  },
);
