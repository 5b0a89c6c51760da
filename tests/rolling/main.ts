/**
 * `deno task rolling [--rate 5000] [--rounds 3] [--rooms 20] [--durable 2] [--kill]`: two Shields on a real NATS,
 * restarted one after another under load. Exits 0 when nothing is lost, repeated or reordered and no
 * client was told of a loss, 1 with what is wrong. With `--kill` they are killed instead, which must fail.
 */
import { flag, whole } from "../harness/task_arguments.ts";
import { runTask } from "../harness/task.ts";
import { runRolling } from "./run.ts";

const USAGE = {
  command: "deno task rolling",
  about:
    `Restarts two Shields on a real NATS, one after another, under load. Exits 1 when a message is lost,
repeated or reordered, or a client was told of a loss.`,
  options: {
    rate: whole(5_000, "messages a second, over all rooms"),
    rounds: whole(3, "how often each Shield is restarted"),
    rooms: whole(20, "rooms"),
    durable: whole(2, "how many of them are durable"),
    kill: flag("kills them instead, which must fail"),
  },
};

if (import.meta.main) {
  await runTask(USAGE, Deno.args, async ({ rate, rounds, rooms, durable, kill }, say) => {
    const outcome = await runRolling({
      rate,
      rounds,
      rooms,
      durable,
      publishers: 2,
      subscribers: 1,
      calm_ms: 5_000,
      drain_ms: 5_000,
      patience_ms: 60_000,
      signal: kill ? "SIGKILL" : "SIGTERM",
      say,
    });
    const { findings, errors, published, delivered, moves, restarts, stops_ms, latest_ms } =
      outcome;
    const stops = `${Math.round(Math.min(...stops_ms))} to ${Math.round(Math.max(...stops_ms))} ms`;
    const count = (kind: string) => findings.filter((finding) => finding.kind === kind).length;
    console.log(`
rate        ${rate}/s in ${rooms} rooms, ${durable} of them durable
restarts    ${restarts}, each Shield ended within ${stops}
moves       ${moves} connections opened anew
published   ${published}, the slowest ACK after ${Math.round(latest_ms)} ms
delivered   ${delivered}
lost        ${count("lost")}
repeated    ${count("repeated")}
reordered   ${count("reordered")}
foreign     ${count("foreign")}
GAPs        ${count("gap")}
errors      ${errors.length}`);
    const wrong = findings.map(({ kind, text }) => `${kind}: ${text}`);
    return { problems: [...errors, ...wrong] };
  });
}
