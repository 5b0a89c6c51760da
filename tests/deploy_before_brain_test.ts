/**
 * A reducer and a policy are deployed while no Brain has begun: the deploy is kept, a call waits for a Brain and is told
 * so, and the first Brain runs what was deployed.
 */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import { documentedAccounts, shippedAccounts } from "./harness/documented_accounts.ts";
import { startNats } from "./harness/nats_server.ts";
import { HttpPeer } from "./peers/http_peer.ts";

const BUILD = new URL("../policies/build/", import.meta.url).pathname;
const CONFIG = `
[limits]
#constant limits.command_timeout_ms = 2_000
[[reducers]]
name = "counter"
file = "${BUILD}reducers/counter.wasm"
[[rooms]]
room = "count-*"
durable = true
reducer = "counter"
`;
const ACCOUNTS = { documented: documentedAccounts, shipped: shippedAccounts };

for (const [name, accounts] of Object.entries(ACCOUNTS)) {
  Deno.test(`what is deployed before a Brain has begun is kept, and a call is told to come again (${name} accounts)`, async () => {
    await using nats = await startNats({ jetstream: true, config: await accounts() });
    await using issuer = await createIssuer();
    const start = (part: "shield" | "brain") => {
      const url = nats.url.replace("//", `//${part}:secret@`);
      return startServer(part, `[nats]\nurls = ["${url}"]\n${issuer.config}${CONFIG}`, issuer.dir);
    };
    await using shield = await start("shield");
    const token = await issuer.tokenFor({ role: "admin", sub: "root" });
    const deploy = async () => {
      const response = await fetch(
        `${shield.ready.admin_url}/v1/tenants/acme/reducers/count-*`,
        {
          method: "PUT",
          headers: { authorization: `Bearer ${token}`, "content-type": "application/wasm" },
          body: await Deno.readFile(`${BUILD}reducers/counter_rust.wasm`),
        },
      );
      return { status: response.status, body: await response.json() };
    };
    const http_url = new URL(shield.ready.url ?? "").origin.replace(/^ws/, "http");
    const peer = new HttpPeer(http_url, await issuer.tokenFor());
    const call = () =>
      peer.call("POST", "rooms/count-1/commands", {
        name: "room.call",
        data: { command: "add", data: 7 },
      });
    const early = await call();
    assert.deepEqual([early.status, early.body.reason], [503, "brain-unavailable"]);
    assert.ok(Number(early.headers.get("retry-after")) > 0, "and when to come again");
    const { status, body } = await deploy();
    assert.equal(status, 200, JSON.stringify(body));
    assert.equal((await call()).status, 503);
    await using _brain = await start("brain");
    await until("a Brain serves", async () => (await call()).status === 200);
    assert.deepEqual(nats.violations, []);
  });
}
