/** The scenario `handshake`: new connections at a constant rate, without and with TLS. */
import { positive, text } from "../../measure/scenario.ts";
import type { OptionValues } from "../../measure/scenario.ts";
import { openLoad } from "../crowd/driver.ts";
import { measurementOf } from "./load_scenario.ts";
import type { LoadCase, LoadScenario, Measurement } from "./load_scenario.ts";
import type { RunningTarget } from "../targets/target.ts";

const HELP =
  `handshake: new connections at a constant rate, from when each was due to what a user calls
connected: TCP, TLS, upgrade and the server's greeting. They stay until the round is over.

  --rate N          connections a second (1000)
  --seconds N       counted time of a round (4)
  --warmup N        seconds before that are not counted (1)
  --processes N     of clients (2)
`;

async function measure(
  running: RunningTarget,
  values: OptionValues,
): Promise<Measurement> {
  const group = {
    connections: 0,
    tenants: 1,
    prefix: "handshake",
    rooms: 1,
    rooms_each: 1,
    subscribes: false,
    publishes: false,
    batch: false,
  };
  const processes = positive(values, "processes");
  await using load = await openLoad(running, { groups: [group], processes, echo: true });
  const report = await load.connect({
    rate: positive(values, "rate"),
    warmup_seconds: positive(values, "warmup"),
    seconds: positive(values, "seconds"),
  });
  // A refused connection is a figure of this scenario and no lost message.
  return { ...measurementOf(report, { failures: report.missing }), missing: 0 };
}

/** The scenario of `deno task bench handshake`. */
export const HANDSHAKE: LoadScenario = {
  name: "handshake",
  help: HELP,
  options: {
    rate: text("1000"),
    seconds: text("4"),
    warmup: text("1"),
    processes: text("2"),
  },
  quick: { seconds: "2" },
  fresh: false,
  columns: [
    { key: "p50_ms", title: "p50 ms", digits: 1 },
    { key: "p99_ms", title: "p99 ms", digits: 1 },
    { key: "max_ms", title: "max ms", digits: 1 },
    { key: "late_p99_ms", title: "load's p99", digits: 1 },
    { key: "failures", title: "failed", digits: 0 },
    { key: "cpu_us", title: "CPU µs", digits: 0 },
    { key: "generator_cores", title: "load's cores", digits: 2 },
    { key: "per_cpu_s", title: "a CPU second", digits: 0 },
  ],
  headline: "per_cpu_s",
  cases: (): LoadCase[] => [
    { name: "plain", needs: ["echo"] },
    { name: "TLS", needs: ["echo", "tls"], tls: true },
  ],
  measure: (running, _one, values) => measure(running, values),
};
