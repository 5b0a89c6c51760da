/** The scenario `durable`: what durable rooms cost, in parts, each in files of its own. */
import { measureEmbedded, renderEmbedded } from "./durable_embedded.ts";
import { idleBytes, measureIdle, renderIdle } from "./durable_idle.ts";
import type { IdleReport } from "./durable_idle_child.ts";
import { measureRecovery, renderRecovery } from "./durable_recover.ts";
import type { RecoverReport } from "./durable_recover_child.ts";
import { ALONE, CLUSTER, measureWrites, nameOf, renderWrites, shares } from "./durable_write.ts";
import type { WriteReport } from "./durable_write_child.ts";
import { part, type Parts, runParts } from "../measure/parts.ts";
import { positive, type Scenario, type ScenarioResult, text } from "../measure/scenario.ts";
import type { OptionValues } from "../measure/scenario.ts";
import { renderRows } from "../measure/table.ts";

const HELP = `durable: what durable rooms cost. Publishes a second and the time to the ACK through a
whole Shield (process) on real NATS, in turns with a bare JetStream publisher on the same server, by
rooms; the same on three servers with three copies; the time in which many clients get what they
missed, and what the log is asked for it; memory of rooms that nobody uses; the embedded log.

  --only PARTS      write, cluster, recover, idle, embedded; with commas (all)
  --rounds N        turns of each row; medians over them count (7)
  --seconds N       counted time of a turn (1)
  --clients N       that recover at once (10000)
  --missed N        messages that each has missed (100)
  --rooms N         that are published to once (10000)
`;

/** Share of a bare publisher's pace that a Shield is to reach. */
const SHARE = 0.7;
const IDLE_BYTES = 16;
const PROCESSES = 4;
const BODY_BYTES = 256;

function partsWith(clients: number, missed: number, rooms: number): Parts {
  const recovery = { clients, missed, processes: PROCESSES, body_bytes: BODY_BYTES };
  return {
    write: (effort) => part(measureWrites(ALONE, effort), renderWrites),
    cluster: (effort) => part(measureWrites(CLUSTER, effort), renderWrites),
    recover: () => part(measureRecovery(recovery), renderRecovery),
    idle: () => part(measureIdle({ rooms }), renderIdle),
    embedded: (effort) => part(measureEmbedded(effort), renderEmbedded),
  };
}

interface Measured {
  readonly write?: readonly WriteReport[];
  readonly cluster?: readonly WriteReport[];
  readonly recover?: RecoverReport;
  readonly idle?: IdleReport;
}

interface DurableAim {
  readonly name: string;
  readonly measured: string;
  readonly aim: string;
  readonly reached: boolean;
}

function aimsOf({ write = [], cluster = [], idle }: Measured): DurableAim[] {
  const aims = [...write, ...cluster].flatMap((report) =>
    shares(report).map(({ rooms, median }): DurableAim => ({
      name: `publishes of the bare publisher's, ${nameOf(report)}, ${rooms} rooms`,
      measured: `${(median * 100).toFixed(0)} %`,
      aim: `${SHARE * 100} %`,
      reached: median >= SHARE,
    }))
  );
  if (idle !== undefined) {
    const bytes = idleBytes(idle);
    const measured = `${bytes.toFixed(1)} B`;
    const reached = bytes < IDLE_BYTES;
    aims.push({ name: "memory of an idle room", measured, aim: `< ${IDLE_BYTES} B`, reached });
  }
  return aims;
}

function renderAims(aims: readonly DurableAim[]): string {
  return renderRows(
    ["aim", "measured", "aim", "reached"],
    aims.map(({ name, measured, aim, reached }) => [name, measured, aim, reached ? "yes" : "no"]),
  );
}

async function run(values: OptionValues): Promise<ScenarioResult> {
  const [clients, missed, rooms] = ["clients", "missed", "rooms"].map((name) =>
    positive(values, name)
  ) as [number, number, number];
  const parts = partsWith(clients, missed, rooms);
  const { report, tables } = await runParts(parts, values);
  const measured = report as Measured;
  const aims = aimsOf(measured);
  const aimed = aims.length > 0 ? [renderAims(aims)] : [];
  const wrong = (measured.recover?.storms ?? []).flatMap((storm) => storm.wrong);
  return {
    report: { ...report, aims },
    table: [...tables, ...aimed].join("\n\n"),
    failure: wrong.length === 0 ? undefined : `clients did not get what they missed: ${wrong}`,
  };
}

/** The scenario of `deno task bench durable`. */
export const DURABLE: Scenario = {
  name: "durable",
  help: HELP,
  options: {
    only: text(""),
    rounds: text("7"),
    seconds: text("1"),
    clients: text("10000"),
    missed: text("100"),
    rooms: text("10000"),
  },
  run,
};
