/**
 * `deno task strangers`: connections that say nothing come in turns, many more than the bus may open
 * files for. Says what a client noticed; exits 1 when anybody was hurt. What is done is
 * `strangers.ts`.
 */
import { testCertificate } from "../../shared/listeners/testing/certificate.ts";
import { UsageError } from "../../bench/measure/scenario.ts";
import { flag, oneOf, whole } from "../harness/task_arguments.ts";
import type { ValuesOf } from "../harness/task_arguments.ts";
import { runTask } from "../harness/task.ts";
import { runStrangers, sample } from "./strangers.ts";
import type { StrangersReport } from "./strangers.ts";

const USAGE = {
  command: "deno task strangers",
  about:
    `Connections that say nothing, in turns, against a bus that may open so many files. Exits 1 when a
client notices.`,
  options: {
    websocket: oneOf(["own", "native"], "own", "client sockets: own or native"),
    tls: flag("with TLS"),
    unbounded: flag("without the bounds of strangers: then files run out"),
    strangers: whole(100_000, "how many come"),
    "at-once": whole(5_000, "how many of them stay open at a time"),
    files: whole(2_000, "files that the bus may open"),
  },
};
/** A new client gets in within so long. */
const LATE_MS_MAX = 1_000;

async function report(values: ValuesOf<typeof USAGE.options>): Promise<StrangersReport> {
  const { websocket, tls, unbounded, files, strangers } = values;
  return await runStrangers({
    websocket,
    // Those of the default, or none: then files run out.
    limits: unbounded ? "strangers = 100000" : "",
    files,
    strangers,
    at_once: values["at-once"],
    ...(tls ? { tls: await testCertificate() } : {}),
  });
}

if (import.meta.main) {
  await runTask(USAGE, Deno.args, async (values) => {
    const { websocket, tls, unbounded, strangers } = values;
    if (tls && websocket === "native") {
      throw new UsageError("native sockets with TLS bound no strangers");
    }
    try {
      const { heard, worst_ms, late_ms, metrics } = await report(values);
      console.log(JSON.stringify({
        websocket,
        tls,
        unbounded,
        strangers,
        messages: heard,
        worst_ms: Math.ceil(worst_ms),
        new_client_ms: Math.ceil(late_ms),
        ended_by_address: sample(metrics, 'shield_strangers_ended_total{bound="address"}'),
        ended_by_total: sample(metrics, 'shield_strangers_ended_total{bound="total"}'),
        accept_failures: sample(metrics, "shield_accept_failures_total"),
      }));
      if (late_ms <= LATE_MS_MAX) return 0;
      console.error(`a new client got in after ${Math.ceil(late_ms)} ms`);
    } catch (error) {
      console.error(error instanceof Error ? error.message : String(error));
    }
    return 1;
  });
}
