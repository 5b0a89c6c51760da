/**
 * `deno task load [--connections 100000] [--processes 5] [--idle-minutes 60] [--broadcasts 5]
 * [--addresses 20] [--apart] [--websocket native|own]`: connections over the processes of one Shield (`--apart`: over Shields
 * with a port each) on this machine that come, sit idle, hear broadcasts and are dropped. Exits 0 when
 * all held, 1 with what did not, 2 when the system's limits are too low.
 */
import { amount, flag, whole } from "../harness/task_arguments.ts";
import { machineLine, refused, runTask } from "../harness/task.ts";
import { WEBSOCKET } from "../harness/websocket_option.ts";
import { runLoad } from "./run.ts";
import { renderLoad, violationsOf } from "./verdict.ts";

/** 127.0.x.1 and on. */
const ADDRESSES_MAX = 250;

const USAGE = {
  command: "deno task load",
  about:
    `Connections that come, sit idle, hear broadcasts and are dropped. Exits 1 when one is lost, 2 when the
system's limits are too low.`,
  options: {
    connections: whole(100_000, "over all processes"),
    processes: whole(5, "of the Shield, and as many of clients"),
    "idle-minutes": amount(60, "how long they sit idle", { or_none: true }),
    broadcasts: whole(5, "to everybody, afterwards", { low: 0 }),
    addresses: whole(20, `source addresses of a client process, at most ${ADDRESSES_MAX}`),
    websocket: WEBSOCKET,
    apart: flag("Shields with a port each, instead of one with processes"),
  },
};

if (import.meta.main) {
  await runTask(USAGE, Deno.args, async (values, say) => {
    const plan = {
      connections: values.connections,
      processes: values.processes,
      one_port: !values.apart,
      server_lines: values.websocket,
      idle_seconds: values["idle-minutes"] * 60,
      broadcasts: values.broadcasts,
      addresses: Math.min(ADDRESSES_MAX, values.addresses),
      say,
    };
    const outcome = await runLoad(plan).catch(refused);
    console.log(`\n${renderLoad(outcome)}`);
    console.log(`\n${await machineLine()}`);
    return { problems: violationsOf(outcome) };
  });
}
