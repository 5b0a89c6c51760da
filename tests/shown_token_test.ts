/**
 * Many unauthenticated connections at a bus with requests under way that have shown a good token: the bounds of the
 * first never end the second.
 */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import { until } from "../shared/testing/until.ts";
import { startLocalBus } from "./harness/local_bus.ts";

const IDLE = 60;
const BOUNDS = {
  "one address": "strangers = 1000\nstrangers_per_address = 20",
  "all together": "strangers = 20\nstrangers_per_address = 1000",
};

const config = (websocket: string, limits: string) => `
[server]
host = "127.0.0.1"
websocket = "${websocket}"
drain_ms = 0
[ops]
host = "127.0.0.1"
[limits]
${limits}
[[rooms]]
room = "durable-*"
durable = true
`;

/** Connections that say nothing, until the bus has ended many of them. */
async function idleStrangers(bus: { http_url: string; ops_url: string }) {
  const { hostname, port } = new URL(bus.http_url);
  const idle = await Promise.all(
    Array.from({ length: IDLE }, () => Deno.connect({ hostname, port: Number(port) })),
  );
  await until("strangers are ended", async () => {
    const metrics = await (await fetch(`${bus.ops_url}/metrics`)).text();
    const ended = [...metrics.matchAll(/^shield_strangers_ended_total\{[^}]*\} (\d+)$/gm)];
    return ended.reduce((sum, [, count]) => sum + Number(count), 0) >= IDLE - 20;
  });
  return { [Symbol.dispose]: () => idle.forEach((one) => one.close()) };
}

for (const websocket of ["native", "ws", "own"]) {
  for (const [bound, limits] of Object.entries(BOUNDS)) {
    Deno.test(`a request under way with a good token is no stranger (${websocket}, ${bound})`, async () => {
      await using bus = await startLocalBus(config(websocket, limits));
      const headers = { authorization: `Bearer ${bus.token}`, "content-type": "text/plain" };
      const client = await connect({ url: bus.url, token: bus.token });
      const stream = `${bus.http_url}/v1/streams/durable-read`;
      const made = await fetch(stream, { method: "PUT", headers });
      assert.ok(made.ok, `${made.status}`);
      await made.body?.cancel();
      const next = made.headers.get("stream-next-offset") ?? "-1";
      const reading = fetch(`${stream}?offset=${next}&live=long-poll`, { headers });
      let controller!: ReadableStreamDefaultController<Uint8Array>;
      const body = new ReadableStream<Uint8Array>({ start: (given) => void (controller = given) });
      const write = (text: string) => controller.enqueue(new TextEncoder().encode(text));
      const growing = fetch(`${bus.http_url}/v1/rooms/durable-grown/streams?id=one`, {
        method: "POST",
        headers,
        body,
      });
      write("a");
      const room = client.room("durable-grown");
      await until("it grows", async () => {
        const list = await room.command("growing.list");
        return list.json<{ messages: { id: string }[] }>().messages.some(({ id }) => id === "one");
      });
      using _idle = await idleStrangers(bus);
      write("b");
      controller.close();
      const grown = await growing;
      assert.equal(grown.status, 200);
      await grown.body?.cancel();
      const told = await fetch(stream, { method: "POST", headers, body: "news" });
      assert.ok(told.ok, `${told.status}`);
      await told.body?.cancel();
      assert.equal(await (await reading).text(), "news");
      await client.close();
    });
  }
}
