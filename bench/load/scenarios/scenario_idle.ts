/** The scenario `idle`: memory of connections that do nothing. */
import { fileLimit } from "../../../tests/load/file_limit.ts";
import { positive, positives, text, UsageError } from "../../measure/scenario.ts";
import type { OptionValues } from "../../measure/scenario.ts";
import { openLoad } from "../crowd/driver.ts";
import type { Load } from "../crowd/driver.ts";
import type { LoadCase, LoadScenario, Measurement } from "./load_scenario.ts";
import type { RunningTarget } from "../targets/target.ts";

const HELP =
  `idle: resident memory of the server with connections that do nothing; a new server each
time. What one connection takes is the growth since the first hundred.

  --connections N,N (1000,10000,20000)
  --settle N        seconds until memory is read (2)
  --processes N     of clients (2)
`;

/** Connections before the first reading, so that what a process allocates only once does not count. */
const FIRST = 100;
/** Open files of a server that are no connections. */
const OWN_FILES = 400;
/** Ports of one client address; `net.ipv4.ip_local_port_range` has some 28,000. */
const PORTS = 25_000;

interface IdleCase extends LoadCase {
  readonly connections: number;
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function openIdle(running: RunningTarget, connections: number, processes: number): Promise<Load> {
  const group = {
    connections,
    tenants: 1,
    prefix: "idle",
    rooms: 1,
    rooms_each: 1,
    subscribes: false,
    publishes: false,
    batch: false,
  };
  return openLoad(running, { groups: [group], processes, echo: true });
}

async function measure(
  running: RunningTarget,
  { connections: asked }: IdleCase,
  values: OptionValues,
): Promise<Measurement> {
  const connections = Math.min(asked, await fileLimit() - OWN_FILES);
  const processes = positive(values, "processes");
  const settle_ms = positive(values, "settle") * 1_000;
  await using _first = await openIdle(running, FIRST, 1);
  await pause(settle_ms);
  const rss_of = async (load: Load) => (await load.usage()).rss_bytes;
  const before = await rss_of(_first);
  await using load = await openIdle(running, connections - FIRST, processes);
  await pause(settle_ms);
  const after = await rss_of(load);
  return {
    figures: {
      connections,
      kb: (after - before) / 1e3 / (connections - FIRST),
      rss_mb: after / 1e6,
      first_mb: before / 1e6,
    },
    missing: 0,
    problems: [],
  };
}

function casesOf(values: OptionValues): IdleCase[] {
  return positives(values, "connections").map((connections) => {
    if (connections > PORTS) {
      throw new UsageError(
        `--connections ${connections}: one client address has ports for ${PORTS}; ` +
          "`deno task load` holds more",
      );
    }
    if (connections <= FIRST) throw new UsageError(`--connections expects more than ${FIRST}`);
    return { name: String(connections), needs: ["echo"], connections };
  });
}

/** The scenario of `deno task bench idle`. */
export const IDLE: LoadScenario<IdleCase> = {
  name: "idle",
  help: HELP,
  options: {
    connections: text("1000,10000,20000"),
    settle: text("2"),
    processes: text("2"),
  },
  quick: { connections: "10000", settle: "1" },
  fresh: true,
  columns: [
    { key: "connections", title: "connected", digits: 0 },
    { key: "kb", title: "KB a connection", digits: 1 },
    { key: "first_mb", title: `MB with ${FIRST}`, digits: 0 },
    { key: "rss_mb", title: "MB with all", digits: 0 },
  ],
  headline: "kb",
  cases: casesOf,
  measure,
};
