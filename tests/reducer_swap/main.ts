/**
 * `deno task show:swap [--connections 5000] [--rooms 50]`: deploys a module to rooms that are called, under many
 * connections. Exits 0 when none ended and each heard of it once.
 */
import { runTask } from "../harness/task.ts";
import { whole } from "../harness/task_arguments.ts";
import { swapUnder } from "./swap.ts";

const USAGE = {
  command: "deno task show:swap",
  about:
    `Deploys a module with a migration to rooms that are programs, while they are called and many
connections hear them. Exits 1 when a connection ended, or did not hear its room's migration once.`,
  options: {
    connections: whole(5_000, "connections that hear the rooms"),
    rooms: whole(50, "rooms of the class"),
  },
};

if (import.meta.main) {
  await runTask(USAGE, Deno.args, async ({ connections, rooms }, say) => {
    const swap = await swapUnder(connections, rooms);
    say(JSON.stringify(swap));
    return swap.ended === 0 && swap.twice === 0 && swap.refused === 0 ? 0 : 1;
  });
}
