/**
 * `deno task chaos:durable [--seconds 180] [--rate 2000] [--rooms 50] [--seed N] [--short]`: three NATS
 * servers and two Shields are killed, stopped and restarted under publishers and readers of durable
 * rooms. Exits 0 when the checker finds nothing, 1 with what is wrong.
 */
import { flag, seed, whole } from "../harness/task_arguments.ts";
import { runTask } from "../harness/task.ts";
import { runDurable } from "./run.ts";
import { LONG, SHORT } from "./variant.ts";

const USAGE = {
  command: "deno task chaos:durable",
  about:
    `Kills, stops and restarts three NATS servers and two Shields under durable rooms. Exits 1 when an
acknowledged message is missing, repeated or out of order.`,
  options: {
    seconds: whole(180, "how long faults go on"),
    rate: whole(2_000, "messages a second, over all rooms"),
    rooms: whole(50, "durable rooms", { low: 2 }),
    seed: seed(),
    short: flag("with the times that its test has"),
  },
};

if (import.meta.main) {
  await runTask(USAGE, Deno.args, async ({ short, seconds, rate, rooms, seed }, say) => {
    const variant = short ? SHORT : LONG;
    say(
      `durable: ${variant.name}, ${rate}/s in ${rooms} rooms, ${seconds} s of faults, seed ${seed}`,
    );
    const plan = { variant, seconds, rate, rooms, seed, say };
    const { violations, report, dir } = await runDurable(plan);
    console.log(`\n${report.join("\n")}`);
    return { problems: violations, seed, dir };
  });
}
