/** The scenario `durable`: what durable rooms cost, in parts, each in files of its own. */
import { type Aim, renderAims } from "../measure/aims.ts";
import { part, type Parts, runParts } from "../measure/parts.ts";
import { scenario } from "../measure/scenario.ts";
import { measureEmbedded, renderEmbedded } from "./durable_embedded.ts";
import { idleBytes, type IdleReport, measureIdle, renderIdle } from "./durable_idle.ts";
import { measureRecovery, type RecoverReport, renderRecovery } from "./durable_recover.ts";
import { ALONE, CLUSTER, measureWrites, nameOf, renderWrites, shares } from "./durable_write.ts";
import type { WriteReport } from "./durable_write.ts";

/** Share of a bare publisher's pace that a Shield is to reach. */
const SHARE = 0.7;
const IDLE_BYTES = 16;

interface Measured {
  readonly write?: readonly WriteReport[];
  readonly cluster?: readonly WriteReport[];
  readonly recover?: RecoverReport;
  readonly idle?: IdleReport;
}

function aimsOf({ write = [], cluster = [], idle }: Measured): Aim[] {
  const aims = [...write, ...cluster].flatMap((report) =>
    shares(report).map(({ rooms, median }): Aim => ({
      name: `publishes of the bare publisher's, ${nameOf(report)}, ${rooms} rooms`,
      measured: median * 100,
      bound: SHARE * 100,
      unit: "%",
      at_least: true,
    }))
  );
  if (idle === undefined) return aims;
  const memory = { measured: idleBytes(idle), bound: IDLE_BYTES, unit: "B" };
  return [...aims, { name: "memory of an idle room", ...memory }];
}

/** The scenario of `deno task bench durable`. */
export const DURABLE = scenario(
  "durable",
  `what durable rooms cost. Publishes a second and the time to the ACK through a
whole Shield (process) on real NATS, in turns with a bare JetStream publisher on the same server, by
rooms; the same on three servers with three copies; the time in which many clients get what they
missed, and what the log is asked for it; memory of rooms that nobody uses; the embedded log.`,
  {
    only: ["", "write, cluster, recover, idle, embedded; with commas; all"],
    rounds: [7, "turns of each row; medians over them count"],
    seconds: [1, "counted time of a turn"],
    clients: [10_000, "that recover at once"],
    missed: [100, "messages that each has missed"],
    rooms: [10_000, "that are published to once"],
  },
  async ({ clients, missed, rooms, ...values }) => {
    const recovery = { clients, missed, processes: 4, body_bytes: 256 };
    const parts: Parts = {
      write: (effort) => part(measureWrites(ALONE, effort), renderWrites),
      cluster: (effort) => part(measureWrites(CLUSTER, effort), renderWrites),
      recover: () => part(measureRecovery(recovery), renderRecovery),
      idle: () => part(measureIdle({ rooms }), renderIdle),
      embedded: (effort) => part(measureEmbedded(effort), renderEmbedded),
    };
    const { report, tables } = await runParts(parts, values);
    const measured = report as Measured;
    const aims = aimsOf(measured);
    if (aims.length > 0) tables.push(renderAims(aims));
    const wrong = (measured.recover?.storms ?? []).flatMap((storm) => storm.wrong);
    return {
      report: { ...report, aims },
      table: tables.join("\n\n"),
      failure: wrong.length === 0 ? undefined : `clients did not get what they missed: ${wrong}`,
    };
  },
);
