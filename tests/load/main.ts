/**
 * `deno task load [--connections 100000] [--processes 5] [--idle-minutes 60] [--broadcasts 5] [--websocket
 * native|own]`: connections to the processes of one Shield on this machine that connect, are idle, receive broadcasts
 * and are disconnected. Exits with 0 if everything held, 1 with what did not, 2 if the system's limits are too low.
 */
import { renderRows } from "../../bench/measure/table.ts";
import { amount, whole } from "../harness/task_arguments.ts";
import { machineLine, refused, runTask } from "../harness/task.ts";
import { WEBSOCKET } from "../harness/websocket_option.ts";
import { runLoad } from "./run.ts";

const USAGE = {
  command: "deno task load",
  about:
    `Connections that come, sit idle, hear broadcasts and are dropped. Exits 1 when one is lost, 2 when the
system's limits are too low.`,
  options: {
    connections: whole(100_000, "over all processes"),
    processes: whole(5, "of the Shield, and as many of clients", { high: 200 }),
    "idle-minutes": amount(60, "how long they sit idle", { or_none: true }),
    broadcasts: whole(5, "to everybody, afterwards, one a second"),
    websocket: WEBSOCKET,
  },
};

if (import.meta.main) {
  await runTask(USAGE, Deno.args, async (values, say) => {
    const { figures, problems } = await runLoad({
      connections: values.connections,
      processes: values.processes,
      server_lines: values.websocket,
      idle_seconds: values["idle-minutes"] * 60,
      broadcasts: values.broadcasts,
      say,
    }).catch(refused);
    console.log(`\n${renderRows(["what", "figure"], figures)}`);
    console.log(`\n${await machineLine()}`);
    return { problems };
  });
}
