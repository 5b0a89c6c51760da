/**
 * Faults on NATS with two Shields and two Brains, all processes of their own: a Shield or a Brain is killed, the server
 * freezes, a Shield's link is cut, its wall clock is set. Rows in which each value stands beside each of these, judged by
 * `fault_model.ts`; then every process is alive and idle.
 */
import { createIssuer } from "../harness/cluster.ts";
import { Receiver } from "../hooks/receiver.ts";
import { atRest, busOf, CLUSTER_FAULTS, restOf, startCluster } from "./fault_cluster.ts";
import { FAULT_FACTORS } from "./fault_model.ts";
import { runThrough } from "./fault_run.ts";
import { faultRows } from "./faults.ts";
import { configOf, type Ground, groundOf } from "./run.ts";

Deno.test("a cluster that is hurt does what its model says", async (t) => {
  await using stack = new AsyncDisposableStack();
  const receiver = stack.use(new Receiver());
  const issuer = stack.use(await createIssuer());
  const lines = configOf([], receiver).replace(/\[server\][^[]*\[ops\][^[]*/, "");
  const cluster = await startCluster(issuer, lines, stack);
  const one = busOf(issuer, () => cluster.servers["shield-0"]);
  const two = busOf(issuer, () => cluster.servers["shield-1"]);
  // The second Shield, which is not struck, answers admins.
  const forth: Ground = await groundOf(two, one, receiver);
  const back: Ground = { ...forth, bus: one, entry: two };
  const before = await restOf(cluster);
  for (const [at, { name, harm, strike }] of CLUSTER_FAULTS.entries()) {
    await t.step(name, async () => {
      const rows = faultRows(10 + at, undefined, FAULT_FACTORS);
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
