/** `/api/subscribe` and `/api/disconnect` of Centrifugo's server API on another Shield on NATS than the client's. */
import assert from "node:assert/strict";
import { Centrifuge } from "centrifuge";
import { until } from "../shared/testing/until.ts";
import { killableOnNats } from "./kills/killable_bus.ts";
import { HURRY } from "./peers/centrifugo_client.ts";
import { order } from "./peers/centrifugo_peer.ts";
import { secretFile } from "../shared/config/testing/secret_file.ts";

const KEY = "a key of a backend";
const CONFIG = `
[centrifugo]
enabled = true
server_side = ["orders*"]

[[centrifugo.api_keys]]
tenant = "acme"
key_file = "${secretFile(KEY)}"
`;

Deno.test("orders of a backend reach the clients of each Shield", async () => {
  await using bus = await killableOnNats(CONFIG);
  const user = "ann";
  const events: unknown[] = [];
  const clients = bus.urls.map((url) => {
    const at = `${url.replace("http", "ws")}/connection/websocket`;
    const client = new Centrifuge(at, { token: bus.token, ...HURRY });
    client.on("subscribed", ({ channel }) => void events.push(channel));
    client.on("publication", ({ data }) => void events.push(data));
    client.on("disconnected", ({ code, reason }) => void events.push([code, reason]));
    client.connect();
    return client;
  });
  using _clients = { [Symbol.dispose]: () => clients.forEach((one) => one.disconnect()) };
  await Promise.all(clients.map((client) => client.ready(20_000)));
  const send = (method: string, params: object) => order(bus.urls[0]!, KEY, method, params);
  const channel = "orders:1";
  // A retry reaches a Shield that was slow to answer. It does not change subscribed clients.
  await until("both are in", async () => {
    await send("subscribe", { user, channel });
    return events.length >= 2;
  });
  assert.deepEqual(events.splice(0), [channel, channel]);
  await send("publish", { channel, data: 1 });
  await until("a message for each", () => events.length === 2);
  assert.deepEqual(events.splice(0), [1, 1]);
  await until("both are out", async () => {
    await send("disconnect", { user, disconnect: { code: 4567, reason: "enough" } });
    return events.length >= 2;
  });
  assert.deepEqual(events, [[4567, "enough"], [4567, "enough"]]);
});
