/**
 * `deno task production [--rooms 8] [--rate 50] [--message-bytes 1000] [--calm 500]`: a production set-up as
 * docs/deploy.md has it, without containers: three NATS servers with TLS and accounts, two Brains, two Shields
 * behind nginx, Valkey, a collector; a rollout, a backup under load, the loss of everything and the restore,
 * a second site and the failover to it. Prints what each took; exits 1 when anything did not hold.
 */
import { renderRows } from "../../bench/measure/table.ts";
import { amount, whole } from "../harness/task_arguments.ts";
import { runTask } from "../harness/task.ts";
import { runProduction } from "./run.ts";

const USAGE = {
  command: "deno task production",
  about:
    `A production set-up as docs/deploy.md has it: a rollout, a backup under load, the loss of everything
and the restore, a second site and the failover to it. Exits 1 when anything did not hold.`,
  options: {
    rooms: whole(8, "rooms"),
    rate: amount(50, "messages a second"),
    "message-bytes": whole(1_000, "bytes of a message"),
    calm: whole(500, "messages of each room between two steps, at least"),
  },
};

if (import.meta.main) {
  await runTask(USAGE, Deno.args, async (values, say) => {
    const { figures, problems } = await runProduction({
      rooms: values.rooms,
      rate: values.rate,
      message_bytes: values["message-bytes"],
      calm: values.calm,
      say,
    });
    console.log(
      `\n${renderRows(["what", "figure"], figures.map(({ what, value }) => [what, value]))}`,
    );
    return { problems };
  });
}
