/** The listener on `node:http`, as `listenClient` opens it; what sockets do there is the Shield's suite. */
import assert from "node:assert/strict";
import { listenClient, ListenError } from "./listen.ts";
import type { ListenOptions } from "./listen.ts";
import { takeUpgrade } from "./node_listen.ts";

const open = (options: Partial<ListenOptions>) =>
  listenClient({
    name: "client",
    host: "127.0.0.1",
    port: 0,
    websocket: "ws",
    handler: () => new Response("hello"),
    ...options,
  });

Deno.test("node: a handler learns who asks, and answers on a port that the URL names", async () => {
  const listener = await open({
    handler: (_request, { remoteAddr }) => new Response(remoteAddr.hostname),
  });
  assert.equal(listener.url, `http://127.0.0.1:${listener.port}`);
  assert.equal(await (await fetch(listener.url)).text(), "127.0.0.1");
  await listener.close();
});

Deno.test("node: a taken port is refused by name, with what to do", async () => {
  const first = await open({});
  await assert.rejects(open({ port: first.port }), (error) => {
    assert(error instanceof ListenError);
    assert.match(error.message, /^client listener: port \d+ on 127\.0\.0\.1 is in use; stop the/);
    return true;
  });
  await first.close();
});

Deno.test("node: an address of another machine is refused by name", async () => {
  await assert.rejects(
    open({ host: "192.0.2.1" }),
    /192\.0\.2\.1 is not an address of this machine/,
  );
});

Deno.test("node: a request that outlives the grace is answered 503 draining", async () => {
  const arrived = Promise.withResolvers<void>();
  const listener = await open({
    handler() {
      arrived.resolve();
      return new Promise<Response>(() => {});
    },
  });
  const asked = fetch(listener.url);
  await arrived.promise;
  await listener.close(10);
  const response = await asked;
  assert.equal(response.status, 503);
  assert.equal((await response.json()).reason, "draining");
});

Deno.test("node: a request of another listener is no upgrade", () => {
  assert.equal(takeUpgrade(new Request("http://shield/")), undefined);
});

Deno.test("node: a target that is no URL is answered 400", async () => {
  const listener = await open({});
  const connection = await Deno.connect({ hostname: "127.0.0.1", port: listener.port });
  const request = "GET http:// HTTP/1.1\r\nhost: shield\r\nconnection: close\r\n\r\n";
  await connection.write(new TextEncoder().encode(request));
  assert.match(await new Response(connection.readable).text(), /^HTTP\/1\.1 400 /);
  await listener.close();
});
