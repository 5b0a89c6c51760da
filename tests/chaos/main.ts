/**
 * `deno task chaos:presence [--minutes 2 | --seconds 120] [--clients 500] [--nats 3|1] [--seed N] [--short]
 * [--websocket native|own]`: real NATS servers, three Brains and two Shields are killed, stopped,
 * restarted and cut off while clients come, go, contend for locks, and publish to plain and durable
 * rooms. Exits 0 when everybody agrees afterwards, no message is repeated, out of order or astray, and
 * what is lost was told at its place, 1 with what is wrong, 3 when that could not be judged because a
 * stream of NATS had no leader.
 */
import { flag, maybe, oneOf, seed, whole } from "../harness/task_arguments.ts";
import { runTask } from "../harness/task.ts";
import { WEBSOCKET } from "../harness/websocket_option.ts";
import { runChaos } from "./run.ts";
import { LONG, SHORT } from "./variant.ts";

const USAGE = {
  command: "deno task chaos:presence",
  about:
    `Kills, stops, restarts and cuts off NATS servers, Brains and Shields under clients and messages.
Exits 1 when lists, locks or messages are wrong, 3 when NATS had no leader for a stream in the end,
so that nobody could say.`,
  options: {
    seconds: whole(120, "how long faults go on"),
    minutes: maybe(whole(2, "the same in minutes; goes before --seconds")),
    clients: whole(500, "of the SDK, that come and go", { low: 20 }),
    nats: oneOf(["3", "1"], "3", "how many NATS servers there are"),
    seed: seed(),
    websocket: WEBSOCKET,
    short: flag("with the times that its test has"),
  },
};

if (import.meta.main) {
  await runTask(USAGE, Deno.args, async (values, say) => {
    const { minutes, clients, seed } = values;
    const variant = values.short ? SHORT : LONG;
    const seconds = minutes === undefined ? values.seconds : minutes * 60;
    const servers = values.nats === "1" ? 1 : 3;
    const what = `${servers} NATS, ${clients} clients, ${seconds} s of faults, seed ${seed}`;
    say(`chaos: ${variant.name}, ${what}`);
    const { violations, undecided, report, dir } = await runChaos({
      variant,
      seconds,
      clients,
      seed,
      servers,
      shield_lines: values.websocket,
      say,
    });
    console.log(`\n${report.join("\n")}`);
    return { problems: violations, undecided, seed, dir };
  });
}
