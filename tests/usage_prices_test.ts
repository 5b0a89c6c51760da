/** The price of usage depends neither on the answering Shield, nor on which Shield got new prices first. */
import { until } from "../shared/testing/until.ts";
import { createIssuer } from "./harness/cluster.ts";
import { type LocalShield, startLocalShield } from "./harness/local_bus.ts";
import { startNats } from "./harness/nats_server.ts";
import { ask, openText } from "./peers/raw_client.ts";
import { AdminClient } from "./peers/admin_client.ts";

const MESSAGES = 10;

Deno.test("usage: during a rolling change of prices all Shields give one invoice and hold one budget", async () => {
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  const config = (price: number) =>
    `${issuer.config}[nats]\nurls = ["${nats.url}"]\n[usage]\nenabled = true\n#constant usage.flush_ms = 50\n` +
    `prices = { messages_in = ${price} }\n` +
    '[[usage.budgets]]\nper = "month"\nunit = "cost"\nlimit = 1000\naction = "refuse"\n';
  const start = (node: string, price: number) =>
    startLocalShield(config(price), `node_id = "${node}"`);
  const admin = await issuer.tokenFor({ role: "admin", sub: "root" });
  const ask = ({ ready }: LocalShield, path: string) =>
    new AdminClient(ready.admin_url ?? "", admin).read(path);
  const costAt = async (shield: LocalShield) => (await ask(shield, "/v1/usage")).total.cost;
  const usedAt = async (shield: LocalShield) =>
    (await ask(shield, "/v1/tenants/acme/budgets")).in_force[0].used;
  await using one = await start("one", 2);
  const url = `${one.ready.url?.replace(/^http/, "ws")}/v1/socket`;
  using client = await openText(url, await issuer.tokenFor());
  for (let at = 0; at < MESSAGES; at++) {
    await ask(client, { op: "pub", room: "hall", type: "t" });
  }
  const agree = async (shields: readonly LocalShield[], cost: number) => {
    for (const shield of shields) {
      let found: number | undefined;
      await until(() => `${found} is ${cost}`, async () => {
        found = await costAt(shield);
        return found === cost && await usedAt(shield) === cost;
      });
    }
  };
  await agree([one], 2 * MESSAGES);
  // One still has the old prices, and restarts again with them.
  await using two = await start("two", 3);
  await agree([one, two], 3 * MESSAGES);
  await using again = await start("again", 2);
  await agree([one, two, again], 3 * MESSAGES);
});
