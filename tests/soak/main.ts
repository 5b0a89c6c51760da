/**
 * `deno task soak [--minutes 30] [--connections 10000] [--rate 5000] [--processes 4] [--room-size 2] [--visits 5]
 * [--websocket native|own]`: a steady load on one Shield with policies, presence, a schema and durable rooms. Exits
 * with 0 if no message is lost and memory and latency stay flat, 1 with what is wrong.
 */
import { amount, flag, whole } from "../harness/task_arguments.ts";
import { machineLine, runTask } from "../harness/task.ts";
import { WEBSOCKET } from "../harness/websocket_option.ts";
import { runSoak } from "./run.ts";
import { renderSoak, violationsOf } from "./verdict.ts";

/** One row per minute, but at least this many. */
const ROWS = 8;

const USAGE = {
  command: "deno task soak",
  about:
    `A steady load on one Shield with policies, a schema, presence and durable rooms. Exits 1 when a
message is lost, or memory or p99 grow.`,
  options: {
    minutes: amount(30, "how long the load goes on"),
    connections: whole(10_000, "clients that stay"),
    rate: amount(5_000, "messages a second, over all rooms"),
    processes: whole(4, "client processes"),
    "room-size": whole(2, "clients in a room"),
    visits: amount(5, "clients a second that come and go"),
    websocket: WEBSOCKET,
    "counts-only": flag("judge no times and no memory"),
  },
};

if (import.meta.main) {
  await runTask(USAGE, Deno.args, async (values, say) => {
    const { minutes, connections, rate, processes, visits } = values;
    const outcome = await runSoak({
      seconds: minutes * 60,
      connections,
      rate,
      processes,
      room_size: values["room-size"],
      visits,
      rows: Math.max(ROWS, Math.ceil(minutes)),
      server_lines: values.websocket,
      counts_only: values["counts-only"],
      say,
    });
    console.log(`\n${renderSoak(outcome)}`);
    console.log(`\n${await machineLine()}`);
    return { problems: violationsOf(outcome) };
  });
}
