/** Commands over plain HTTP, on the embedded bus and on two Shields with NATS between them. */
import { startBus } from "./harness/bus.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import { batches, locks, moderation, presence, state, tenants } from "./http_commands.ts";
import type { TwoWays } from "./http_commands.ts";
import { startNats } from "./harness/nats_server.ts";

async function all(t: Deno.TestContext, bus: TwoWays): Promise<void> {
  await t.step("state is set, read and deleted, on conditions", () => state(bus));
  await t.step("a lock falls by its holder's word or its lease, nothing else", () => locks(bus));
  await t.step("members are listed and counted", () => presence(bus));
  await t.step("users are kicked, banned, let in again and listed", () => moderation(bus));
  await t.step("a batch is heard in its order", () => batches(bus));
  await t.step("tenants have nothing in common", () => tenants(bus));
}

Deno.test("commands over HTTP, embedded", async (t) => {
  await using bus = await startBus();
  const tokenFor: TwoWays["tokenFor"] = (who) => bus.tokenFor({ tenant: "acme", ...who });
  await all(t, { urls: [bus.http_url, bus.http_url], tokenFor });
});

Deno.test("commands over HTTP, on two Shields", async (t) => {
  await using nats = await startNats({ jetstream: true });
  const issuer = await createIssuer();
  try {
    const config = `[nats]\nurls = ["${nats.url}"]\n${issuer.config}`;
    await using _brain = await startServer("brain", config, issuer.dir);
    await using one = await startServer("shield", config, issuer.dir);
    // Each has the other kind of listener.
    await using two = await startServer("shield", config, issuer.dir, 'websocket = "ws"');
    const url = (text: string | undefined) => new URL(text ?? "").origin.replace(/^ws/, "http");
    await all(t, {
      urls: [url(one.ready.url), url(two.ready.url)],
      tokenFor: ({ user, role = "user", tenant = "acme", claims = {} }) =>
        issuer.tokenFor({ sub: user, role, tenant_id: tenant, ...claims }),
    });
  } finally {
    await Deno.remove(issuer.dir, { recursive: true });
  }
});
