/**
 * Faults on NATS with two Shields and two Brains, each a process: a Shield or a Brain is killed, restarted,
 * disconnected or stopped, or the server is, or a Shield's wall clock is set. Rows that combine each value with each
 * fault, judged by `fault_model.ts`; then every process runs and is idle.
 */
import { Receiver } from "../hooks/receiver.ts";
import { atRest, busOf, clusterFaults, restOf, startCluster } from "./fault_cluster.ts";
import { FAULT_FACTORS } from "./fault_model.ts";
import { runThrough } from "./fault_run.ts";
import { faultRows, TRIES } from "./faults.ts";
import { configOf, groundOf } from "./run.ts";
import type { Ground } from "./stage.ts";

Deno.test("a cluster with faults behaves as its model", async (t) => {
  await using stack = new AsyncDisposableStack();
  const receiver = stack.use(new Receiver());
  const lines = configOf([], receiver).replace(/\[server\][^[]*\[ops\][^[]*/, "");
  const dir = await Deno.makeTempDir({ prefix: "arqon-faults-" });
  stack.defer(() => Deno.remove(dir, { recursive: true }));
  const cluster = await startCluster({ lines, servers: 1, dir }, stack);
  const one = busOf(cluster, "shield-0");
  const two = busOf(cluster, "shield-1");
  // The second Shield, which no fault hits, answers admins.
  const forth: Ground = await groundOf(two, one, receiver);
  const back: Ground = { ...forth, bus: one, entry: two };
  const before = await restOf(cluster);
  for (const [at, { name, harm, strike }] of clusterFaults(1).entries()) {
    await t.step(name, async () => {
      const rows = faultRows(10 + at, undefined, FAULT_FACTORS, TRIES);
      const struck = {
        grounds: [forth, back],
        harm,
        first: 100 * at,
        strike: () => strike(cluster),
      };
      await runThrough(struck, rows);
      await atRest(cluster, before);
    });
  }
});
