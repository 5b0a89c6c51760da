/** Listeners on loopback: their URLs, their errors for people, and how they end. */
import assert from "node:assert/strict";
import { listen, listenClient, type Listener, ListenError, type ListenOptions } from "./listen.ts";
import type { Handler } from "../http1/exchange.ts";
import { testCertificate } from "./testing/certificate.ts";

const hello: Handler = () => new Response("hello");

function open(options: Partial<ListenOptions> = {}): Listener {
  return listen({ name: "client", host: "127.0.0.1", port: 0, handler: hello, ...options });
}

function messageOf(options: Partial<ListenOptions>): string {
  try {
    open(options);
  } catch (error) {
    assert.ok(error instanceof ListenError);
    return error.message;
  }
  throw new Error("it opened");
}

Deno.test("port 0 picks a free port, which the URL names", async () => {
  const one = open();
  const two = open();
  assert.ok(one.port > 0 && one.port !== two.port);
  assert.equal(one.url, `http://127.0.0.1:${one.port}`);
  assert.equal(await (await fetch(one.url)).text(), "hello");
  await Promise.all([one.close(), two.close()]);
  await assert.rejects(fetch(one.url), TypeError);
});

Deno.test("a wildcard host is shown as a connectable address", async () => {
  const listener = open({ host: "0.0.0.0" });
  assert.equal(listener.url, `http://127.0.0.1:${listener.port}`);
  assert.equal(await (await fetch(listener.url)).text(), "hello");
  await listener.close();
});

Deno.test("a handler gets the client's address", async () => {
  const listener = open({ handler: (_, { remoteAddr }) => new Response(remoteAddr.hostname) });
  assert.equal(await (await fetch(listener.url)).text(), "127.0.0.1");
  await listener.close();
});

Deno.test("a port in use is refused by name, with advice", async () => {
  const first = open();
  const message = messageOf({ name: "ops", port: first.port });
  assert.match(message, new RegExp(`^ops listener: port ${first.port} on 127.0.0.1 is in use; `));
  assert.match(message, /choose another port/);
  await first.close();
});

Deno.test("an address of another machine is refused by name, with advice", () => {
  // A documentation address (RFC 5737), which no machine has.
  const message = messageOf({ name: "admin", host: "192.0.2.1" });
  assert.match(message, /^admin listener: /);
  assert.match(message, /192\.0\.2\.1/);
});

Deno.test("a close lets a running request finish and accepts no new one", async () => {
  const arrived = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<void>();
  const listener = open({
    async handler() {
      arrived.resolve();
      await answer.promise;
      return new Response("late");
    },
  });
  const pending = fetch(listener.url).then((response) => response.text());
  await arrived.promise;
  const closed = listener.close(60_000);
  await assert.rejects(fetch(listener.url), TypeError);
  answer.resolve();
  assert.equal(await pending, "late");
  await closed;
});

Deno.test("a request that outlives the grace is answered 503 draining", async () => {
  const arrived = Promise.withResolvers<void>();
  const listener = open({
    handler() {
      arrived.resolve();
      return new Promise<Response>(() => {});
    },
  });
  const pending = fetch(listener.url);
  await arrived.promise;
  await listener.close(10);
  const response = await pending;
  assert.equal(response.status, 503);
  assert.equal((await response.json()).reason, "draining");
});

Deno.test("a client that stalls within its request does not delay the close", async () => {
  const answered = Promise.withResolvers<void>();
  const listener = open({
    handler() {
      answered.resolve();
      return new Response("early");
    },
  });
  const connection = await Deno.connect({ hostname: "127.0.0.1", port: listener.port });
  const part = "POST / HTTP/1.1\r\nhost: shield\r\ncontent-length: 100\r\n\r\nnot all";
  await connection.write(new TextEncoder().encode(part));
  await answered.promise;
  await listener.close(10);
  connection.close();
});

Deno.test("with a certificate it speaks TLS, and its URL says so", async () => {
  const tls = await testCertificate();
  const listener = await listenClient({
    name: "client",
    host: "127.0.0.1",
    port: 0,
    handler: hello,
    tls,
    websocket: "own",
  });
  assert.equal(listener.url, `https://127.0.0.1:${listener.port}`);
  const connection = await Deno.connectTls({
    hostname: "localhost",
    port: listener.port,
    caCerts: [tls.cert],
  });
  const request = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
  await connection.write(new TextEncoder().encode(request));
  const answer = await new Response(connection.readable).text();
  assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/);
  assert.match(answer, /\r\n\r\nhello$/);
  await listener.close();
});

Deno.test("an address may have brackets, as in a URL, with either HTTP implementation", async () => {
  for (const websocket of ["own", "native"] as const) {
    const listener = await listenClient({
      // An address of IPv4, since not every machine has IPv6.
      name: "client",
      host: "[127.0.0.1]",
      port: 0,
      handler: hello,
      websocket,
    });
    assert.equal(listener.url, `http://127.0.0.1:${listener.port}`);
    assert.equal(await (await fetch(listener.url)).text(), "hello");
    await listener.close();
  }
});
