/** The NATS engine when its server is lost, slow, foreign or absent. Real servers. */
import assert from "node:assert/strict";
import { startNats } from "../../../tests/harness/nats_server.ts";
import { until } from "../../testing/until.ts";
import {
  bytes,
  collect,
  Collected,
  refusedWith,
  subject,
  text,
  within,
} from "../testing/conformance.ts";
import { roomSubject } from "../../subjects/subject.ts";
import type { SpineMessage } from "../contract/spine_message.ts";
import { watched } from "./testing/nats_harness.ts";

const unavailable = refusedWith("spine-unavailable");

Deno.test("a restart of the server refuses publishes, then resubscribes and reports the gap", async () => {
  await using server = await startNats();
  await using one = await watched(server.port);
  await using two = await watched(server.port);
  const received = await collect(one.spine, subject("room"));
  await server.kill();
  await Promise.all([one.reached("disconnected"), two.reached("disconnected")]);
  assert.equal(one.spine.status.state, "disconnected");
  assert.throws(() => two.spine.publish(subject("room"), bytes("lost?")), unavailable);
  assert.throws(() => two.spine.subscribe(subject("room"), () => {}), unavailable);
  await assert.rejects(two.spine.flush(), unavailable);
  await assert.rejects(
    two.spine.request(subject("room"), bytes(""), { timeout_ms: 10_000 }),
    unavailable,
  );
  await assert.rejects(two.spine.keyValue("ROOMS"), unavailable);
  await server.start();
  await Promise.all([one.gaps(1), two.gaps(1)]);
  assert.deepEqual(one.events.items.map((event) => event.type), ["state", "state", "gap"]);
  assert.deepEqual(one.events.items[2], { type: "gap", pattern: undefined, reason: "reconnect" });
  const { state, reconnects, engine, pending_bytes } = one.spine.status;
  assert.deepEqual(
    { state, reconnects, engine, pending_bytes },
    { state: "connected", reconnects: 1, engine: "nats", pending_bytes: 0 },
  );
  assert.match(one.spine.status.server ?? "", new RegExp(`^127\\.0\\.0\\.1:${server.port} 2\\.`));
  two.spine.publish(subject("room"), bytes("back"));
  const messages = await received.count(1);
  assert.deepEqual(messages.map((message) => text(message.payload)), ["back"]);
  assert.ok(one.lines.some((line) => line.includes("is lost") && line.startsWith("level=warn")));
  assert.ok(one.lines.some((line) => line.includes("is back") && line.includes("down_ms=")));
});

Deno.test("a flush and a request under way when the server dies are refused at once", async () => {
  await using server = await startNats();
  await using one = await watched(server.port, { request_timeout_ms: 600_000 });
  one.spine.subscribe(subject("silent"), () => {});
  await within(one.spine.flush(), "the flush");
  await server.freeze();
  const pending = one.spine.request(subject("silent"), bytes("?"), { timeout_ms: 600_000 });
  one.spine.publish(subject("room"), bytes("never confirmed"));
  const refusals = Promise.all([
    assert.rejects(within(one.spine.flush(), "the refusal of the flush"), unavailable),
    assert.rejects(within(pending, "the refusal of the request"), unavailable),
  ]);
  assert.ok(one.spine.status.pending_bytes > 0);
  await server.kill();
  await refusals;
  assert.equal(one.spine.status.pending_bytes, 0);
});

Deno.test("an unconfirmed flush is refused after request_timeout_ms", async () => {
  await using server = await startNats();
  await using one = await watched(server.port, { request_timeout_ms: 50 });
  await server.freeze();
  one.spine.publish(subject("room"), bytes("x"));
  await assert.rejects(within(one.spine.flush(), "the refusal"), /confirmed nothing in 50 ms/);
  server.resume();
});

Deno.test("while the server is silent, publishes are refused at once; then they are accepted again", async () => {
  await using server = await startNats();
  await using one = await watched(server.port, { request_timeout_ms: 2_000 });
  const received = await collect(one.spine, subject("room"));
  const give = (word: string) => one.spine.give(subject("room"), bytes(word));
  await server.freeze();
  give("unconfirmed");
  // Nobody calls flush: the publishes themselves reveal that the server is silent.
  const silence = /confirmed nothing in 2000 ms/;
  const refused = () => {
    try {
      give("early");
      return undefined;
    } catch (error) {
      return error;
    }
  };
  await until("a refusal", () => refused() !== undefined);
  assert.equal(one.spine.status.state, "connected");
  assert.match(String(refused()), silence);
  await assert.rejects(one.spine.flush(), silence);
  // Messages without a sender to refuse are sent all the same.
  one.spine.publish(subject("room"), bytes("control"));
  server.resume();
  await until("the server's answer", () => refused() === undefined);
  await within(one.spine.flush(), "the flush");
  // Earlier publishes arrive before the answer to the flush.
  const words = received.items.map(({ payload }) => text(payload));
  assert.equal(words[0], "unconfirmed");
  assert.ok(words.indexOf("control") < words.lastIndexOf("early"), words.join());
});

Deno.test("publishing is refused above pending_bytes, and accepted again once confirmed", async () => {
  await using server = await startNats();
  await using one = await watched(server.port, { pending_bytes: 65_536 });
  const received = await collect(one.spine, subject("room"));
  await server.freeze();
  let accepted = 0;
  const flood = () => {
    for (; accepted < 1_000; accepted++) one.spine.publish(subject("room"), new Uint8Array(1_000));
  };
  assert.throws(flood, unavailable);
  assert.ok(accepted >= 55 && accepted <= 61, `${accepted} messages fit`);
  server.resume();
  // Nobody calls flush: the engine itself finds out how far the server is.
  await received.count(accepted);
  await within(one.spine.flush(), "the flush");
  assert.equal(one.spine.status.pending_bytes, 0);
  one.spine.publish(subject("room"), bytes("more"));
  await received.count(accepted + 1);
});

Deno.test("a tenant that fills pending_bytes leaves room for another, and has its own again once confirmed", async () => {
  await using server = await startNats();
  await using one = await watched(server.port, { pending_bytes: 65_536 });
  await server.freeze();
  const publish = (tenant: string, size_bytes = 1_000) =>
    one.spine.publish(roomSubject("in", tenant, "hall"), new Uint8Array(size_bytes));
  const flood = () => {
    for (let sent = 0; sent < 1_000; sent++) publish("greedy");
  };
  assert.throws(flood, unavailable);
  publish("calm");
  one.spine.publish(subject("own"), bytes("of the bus itself"));
  server.resume();
  await within(one.spine.flush(), "the flush");
  assert.equal(one.spine.status.pending_bytes, 0);
  publish("greedy", 60_000);
});

Deno.test("a drain while the server is down ends at once", async () => {
  await using server = await startNats();
  await using one = await watched(server.port);
  await server.kill();
  await one.reached("disconnected");
  await within(one.spine.drain(), "the drain");
  assert.equal(one.spine.status.state, "closed");
  assert.throws(() => one.spine.publish(subject("room"), bytes("")), unavailable);
});

Deno.test("an unreachable server is refused with its address", async () => {
  const server = await startNats();
  await server[Symbol.asyncDispose]();
  await assert.rejects(watched(server.port), unavailable);
  await assert.rejects(watched(server.port), new RegExp(`NATS at 127\\.0\\.0\\.1:${server.port}`));
});

/** A server that is nothing but a version: enough for the handshake. */
async function startOldServer(version: string): Promise<AsyncDisposable & { port: number }> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const info = {
    server_id: "OLD",
    version,
    proto: 1,
    headers: true,
    max_payload: 1_048_576,
    host: "127.0.0.1",
    port: listener.addr.port,
  };
  const serving = (async () => {
    for await (const connection of listener) {
      await connection.write(bytes(`INFO ${JSON.stringify(info)}\r\n`));
      const buffer = new Uint8Array(4_096);
      for (let size = await connection.read(buffer); size; size = await connection.read(buffer)) {
        if (text(buffer.subarray(0, size)).includes("PING")) {
          await connection.write(bytes("PONG\r\n"));
        }
      }
      connection.close();
    }
  })();
  return await Promise.resolve({
    port: listener.addr.port,
    [Symbol.asyncDispose]: async () => {
      listener.close();
      await serving;
    },
  });
}

Deno.test("a server older than 2.11 is refused with its version", async () => {
  await using old = await startOldServer("2.10.29");
  await assert.rejects(watched(old.port), unavailable);
  await assert.rejects(watched(old.port), /has version 2\.10\.29; 2\.11\.0 or newer is needed/);
});

Deno.test("user and password, or a token, are taken from the URL and never shown", async () => {
  await using server = await startNats({
    config: `authorization { user: "us@er", password: "pass word" }`,
  });
  const url = (login: string) => ({ urls: [`nats://${login}@127.0.0.1:${server.port}`] });
  await using one = await watched(server.port, url("us%40er:pass%20word"));
  await within(one.spine.flush(), "the flush");
  assert.equal(one.spine.status.server?.includes("pass"), false);
  await assert.rejects(watched(server.port, url("us%40er:wrong-one")), (error) => {
    assert.ok(unavailable(error));
    return error instanceof Error && !error.message.includes("wrong-one");
  });
  await using withToken = await startNats({ config: `authorization { token: "s3cret" }` });
  const token = { urls: [`nats://s3cret@127.0.0.1:${withToken.port}`] };
  await using two = await watched(withToken.port, token);
  await within(two.spine.flush(), "the flush");
});

Deno.test("a subscription that NATS does not permit is logged", async () => {
  await using server = await startNats({
    config: `authorization { users: [{ user: u, password: p, permissions: {
      subscribe: { deny: "forbidden.>" } } }] }`,
  });
  await using one = await watched(server.port, { urls: [`nats://u:p@127.0.0.1:${server.port}`] });
  one.spine.subscribe(subject("forbidden", "a"), () => assert.fail("must not be delivered"));
  await within(one.spine.flush(), "the flush");
  assert.ok(one.lines.some((line) => line.includes("ended a subscription")));
  await within(one.spine.flush(), "the connection goes on");
});

/** A user `u` with these permissions, for a reload. */
const permitting = (permissions: string) =>
  `authorization { users: [{ user: u, password: p, permissions: { ${permissions} } }] }`;

Deno.test("a subscription that a reload ends is back when a later one permits it, with a gap", async () => {
  await using server = await startNats({ config: permitting("") });
  const login = { urls: [`nats://u:p@127.0.0.1:${server.port}`] };
  await using one = await watched(server.port, login);
  const room = subject("in", "t", "acme", "r", "lobby");
  const received = await collect(one.spine, room);
  // The same subject twice: the server's error names no subscription.
  const twice = await collect(one.spine, room);
  await server.reload(permitting('subscribe: { deny: "in.>" }'));
  await until("it is ended", () => one.lines.some((line) => line.includes("ended a subscription")));
  await server.reload(permitting(""));
  await one.gaps(1);
  assert.deepEqual(one.events.items, [
    { type: "denied", subject: room },
    { type: "gap", pattern: room, reason: "reconnect" },
  ]);
  one.spine.publish(room, bytes("again"));
  for (const { payload } of [...await received.count(1), ...await twice.count(1)]) {
    assert.equal(text(payload), "again");
  }
  const ended = one.lines.filter((line) => line.includes("ended a subscription"));
  assert.equal(ended.length, 2, "requests for it are not logged again");
});

Deno.test("a subscription above the server's limit is reported, and there once others have ended", async () => {
  await using server = await startNats({ config: "max_subscriptions: 4" });
  await using one = await watched(server.port);
  const rooms = ["a", "b", "c", "d"].map((room) => subject("in", "t", "acme", "r", room));
  const received = [];
  for (const room of rooms.slice(0, 3)) received.push(await collect(one.spine, room));
  const last = new Collected<SpineMessage>();
  one.spine.subscribe(rooms[3]!, last.add);
  await assert.rejects(one.spine.flush(), unavailable);
  received[0]!.unsubscribe();
  await one.gaps(1);
  assert.deepEqual(one.events.items.at(-1), {
    type: "gap",
    pattern: undefined,
    reason: "reconnect",
  });
  one.spine.publish(rooms[3]!, bytes("x"));
  assert.equal((await last.count(1)).length, 1);
});

Deno.test("a message of a room that the server denies is refused by its flush, and no other", async () => {
  await using server = await startNats({
    config: permitting('publish: { deny: ["in.>", "shadow.>"] }'),
  });
  await using one = await watched(server.port, {
    urls: [`nats://u:p@127.0.0.1:${server.port}`],
  });
  const denied = subject("in", "t", "acme", "r", "lobby");
  for (let round = 0; round < 20; round++) {
    one.spine.publish(denied, bytes("x"));
    await assert.rejects(one.spine.flush(), unavailable);
    one.spine.publish(subject("other"), bytes("x"));
    await within(one.spine.flush(), "another flush");
    one.spine.publish(subject("shadow", "a"), bytes("x"));
    await within(one.spine.flush(), "the flush of a copy");
  }
  assert.equal(one.events.items.filter(({ type }) => type === "denied").length, 40);
});

Deno.test("a receiver gets its own copy of a payload", async () => {
  await using server = await startNats();
  await using one = await watched(server.port);
  const { promise, resolve } = Promise.withResolvers<Uint8Array>();
  const room = new Uint8Array(20);
  const copy = (read: Uint8Array, from: number, to: number) => {
    room.set(read.subarray(from, to), 5);
    return room.subarray(5, 5 + to - from);
  };
  const room_subject = subject("copied", "a");
  one.spine.subscribe(room_subject, ({ payload }) => resolve(payload), { copy });
  one.spine.publish(room_subject, bytes("hello"), { name: "value" });
  const payload = await within(promise, "the message");
  assert.equal(text(payload), "hello");
  assert.equal(payload.buffer, room.buffer);
});
