/**
 * `deno task soak [--minutes 30] [--connections 10000] [--rate 5000] [--processes 4] [--room-size 2]
 * [--visits 5] [--nice 19] [--websocket native|own]`:
 * a steady load on one Shield with policies, presence, a schema and durable rooms. Exits 0 when no
 * message is lost, repeated or out of order and memory and latency stay flat, 1 with what is wrong.
 */
import { amount, flag, whole } from "../harness/task_arguments.ts";
import { machineLine, runTask } from "../harness/task.ts";
import { WEBSOCKET } from "../harness/websocket_option.ts";
import { renderSoak } from "./report.ts";
import { runSoak } from "./run.ts";
import { violationsOf } from "./verdict.ts";

const MINUTE_MS = 60_000;
/** So short a run has rows of a few seconds. */
const ROWS = 8;

const USAGE = {
  command: "deno task soak",
  about:
    `A steady load on one Shield with policies, a schema, presence and durable rooms. Exits 1 when a
message is lost, repeated or out of order, or memory or p99 grow.`,
  options: {
    minutes: amount(30, "how long the load goes on"),
    connections: whole(10_000, "clients that stay"),
    rate: amount(5_000, "messages a second, over all rooms"),
    processes: whole(4, "client processes"),
    "room-size": whole(2, "clients in a room"),
    visits: amount(5, "clients a second that come and go"),
    // Less than none is for who may.
    nice: whole(19, "niceness of the clients, which are other machines in reality", {
      low: 0,
      high: 19,
    }),
    websocket: WEBSOCKET,
    "counts-only": flag("judge no times and no memory"),
  },
};

if (import.meta.main) {
  await runTask(USAGE, Deno.args, async (values, say) => {
    const { minutes, connections, rate, processes, visits, nice } = values;
    const outcome = await runSoak({
      seconds: minutes * 60,
      connections,
      rate,
      processes,
      room_size: values["room-size"],
      visits,
      report_ms: Math.min(MINUTE_MS, minutes * MINUTE_MS / ROWS),
      server_lines: values.websocket,
      counts_only: values["counts-only"],
      nice,
      say,
    });
    console.log(`\n${renderSoak(outcome)}`);
    console.log(`\n${await machineLine()}`);
    return { problems: violationsOf(outcome) };
  });
}
