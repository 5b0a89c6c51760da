// What a Shield does rarely or never: a peer with real sockets that follows a script.
import assert from "node:assert/strict";
import { decodeClientFrame, encodeAck, encodeErr } from "@arqon/proto";
import { connect } from "../mod.ts";
import { bytes, LIMITS, quick, refusedWith, startPeer, welcome } from "../testing/scripted_peer.ts";

Deno.test("a node that restarts is left and found again within the window it gives", async () => {
  await using peer = startPeer({
    open(socket, index) {
      welcome(socket);
      if (index === 0) socket.close(1012, "restart;spread_ms=40");
    },
  });
  const { options, statuses } = quick(peer.url);
  const again = Promise.withResolvers<void>();
  let opens = 0;
  await using _connection = await connect({
    ...options,
    random: () => 0.5,
    onStatus: (status) => {
      statuses.push(status);
      if (status.state === "open" && ++opens === 2) again.resolve();
    },
  });
  await again.promise;
  const waiting = statuses.find((status) => status.state === "waiting");
  assert.ok(waiting?.state === "waiting");
  assert.equal(waiting.retry_in_ms, 20, "half of the window, as drawn");
});

Deno.test("a ban ends the connection for good", async () => {
  await using peer = startPeer({
    open(socket) {
      welcome(socket);
      socket.close(4403, "banned");
    },
  });
  const connection = await connect(quick(peer.url).options);
  const error = await connection.closed;
  assert.equal(error?.reason, "banned");
  assert.equal(peer.sockets, 1);
});

Deno.test("an ERR before the close tells more than the code: 'too-many-protocol-errors'", async () => {
  await using peer = startPeer({
    open(socket) {
      welcome(socket);
      socket.send(bytes(encodeErr({ code: 429, reason: "too-many-protocol-errors" })));
      socket.close(1008, "");
    },
  });
  const connection = await connect(quick(peer.url).options);
  assert.equal((await connection.closed)?.reason, "too-many-protocol-errors");
});

Deno.test("a peer that speaks something else is not tried again: 'malformed-frame'", async () => {
  for (
    const say of [
      (socket: WebSocket) => socket.send("hello"),
      (socket: WebSocket) => socket.send(new Uint8Array([0x42, 1])),
      (socket: WebSocket) => welcome(socket, 60_000, 2),
      (socket: WebSocket) => socket.send(new Uint8Array([0x00, 0xff])),
    ]
  ) {
    await using peer = startPeer({ open: say });
    const patient = { ...quick(peer.url).options, initial_attempts: 10 };
    await assert.rejects(connect(patient), refusedWith("malformed-frame"));
    assert.equal(peer.sockets, 1);
  }
});

Deno.test("no WELCOME in time is an attempt that failed: 'unreachable'", async () => {
  await using peer = startPeer({});
  await assert.rejects(
    connect({ ...quick(peer.url).options, handshake_timeout_ms: 50 }),
    (error) => refusedWith("unreachable")(error) && /no WELCOME within 50 ms/.test(String(error)),
  );
});

Deno.test("a peer that falls silent is given up after it was asked, and another socket opened", async () => {
  const pinged = Promise.withResolvers<void>();
  await using peer = startPeer({
    open: (socket, index) => welcome(socket, index === 0 ? 20 : 60_000),
    message(_socket, data, index) {
      const operation = decodeClientFrame(new Uint8Array(data), LIMITS);
      if (index === 0 && operation.kind === "ping") pinged.resolve();
    },
  });
  const { options, statuses } = quick(peer.url);
  const again = Promise.withResolvers<void>();
  await using _connection = await connect({
    ...options,
    onStatus: (status) => {
      statuses.push(status);
      if (status.state === "open" && peer.sockets === 2) again.resolve();
    },
  });
  await Promise.all([pinged.promise, again.promise]);
  const waiting = statuses.find((status) => status.state === "waiting");
  assert.ok(waiting?.state === "waiting");
  assert.match(waiting.error.message, /heartbeat/);
});

Deno.test("a node without room is tried again as long as the program wants: 'at-capacity'", async () => {
  const problem = {
    status: 503,
    reason: "at-capacity",
    detail: "At capacity: 5 connections",
  };
  await using peer = startPeer({
    refuse: (index) => index < 2,
    http: () => Response.json(problem, { status: 503 }),
    open: (socket) => welcome(socket),
  });
  const { options, statuses } = quick(peer.url);
  await assert.rejects(connect(options), refusedWith("at-capacity"));
  await using _connection = await connect({ ...options, initial_attempts: 5 });
  assert.ok(statuses.some((status) => status.state === "waiting"));
});

Deno.test("something that is no bus is told apart from nothing at all: 'unreachable'", async () => {
  await using peer = startPeer({
    refuse: () => true,
    http: () => new Response("<html>nginx</html>", { status: 404 }),
  });
  await assert.rejects(connect(quick(peer.url).options), /HTTP 404/);
  const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const { port } = listener.addr;
  listener.close();
  await assert.rejects(
    connect(quick(`ws://127.0.0.1:${port}`).options),
    (error) => refusedWith("unreachable")(error) && /refused/i.test(String(error)),
  );
});

Deno.test("an answer that never comes is 'answer-timeout'; a socket that goes first is 'connection-lost'", async () => {
  const sockets: WebSocket[] = [];
  const published = Promise.withResolvers<void>();
  await using peer = startPeer({
    open(socket) {
      sockets.push(socket);
      welcome(socket);
    },
    message: () => published.resolve(),
  });
  await using connection = await connect(quick(peer.url).options);
  const room = connection.room("lobby");
  await assert.rejects(room.publish("x", 1, { timeout_ms: 30 }), refusedWith("answer-timeout"));
  const pending = room.publish("x", 2);
  await published.promise;
  sockets[0]?.close(4408, "");
  await assert.rejects(pending, refusedWith("connection-lost"));
});

Deno.test("a subscription that the Shield cannot serve now is asked for again", async () => {
  let asked = 0;
  await using peer = startPeer({
    open: (socket) => welcome(socket),
    message(socket, data) {
      const operation = decodeClientFrame(new Uint8Array(data), LIMITS);
      if (operation.kind !== "subscribe") return;
      asked += 1;
      const { request_id } = operation.subscribe;
      const refused = { request_id, code: 503, reason: "spine-unavailable", message: "no" };
      socket.send(bytes(encodeAck(asked === 1 ? refused : { request_id })));
    },
  });
  await using connection = await connect(quick(peer.url).options);
  using messages = connection.room("lobby").subscribe();
  await messages.ready;
  assert.equal(asked, 2);
});

Deno.test("options that cannot work are refused at once, in words", async () => {
  await assert.rejects(
    connect({ url: "nats://x", token: "e30.e30.c2ln" }),
    /scheme "nats:"; expected "ws/,
  );
  await assert.rejects(connect({ url: "ws://x" }), /no `token`, no `getToken`/);
  await assert.rejects(
    connect({ url: "ws://x", token: "e30.e30.c2ln", window: 0 }),
    /window is 0; expected/,
  );
});

Deno.test("what nobody foresaw is a lost connection: it is opened anew, and its cause is said", async () => {
  await using peer = startPeer({
    open(socket, index) {
      welcome(socket);
      if (index === 0) socket.close(1012, "");
    },
  });
  const { options } = quick(peer.url);
  let made = 0;
  const webSocket = class extends WebSocket {
    override set binaryType(kind: BinaryType) {
      if (++made === 2) throw new Error("no socket today");
      super.binaryType = kind;
    }
  };
  const again = Promise.withResolvers<void>();
  const errors: unknown[] = [];
  let opens = 0;
  await using _connection = await connect({
    ...options,
    webSocket,
    onStatus: (status) => {
      if (status.state === "waiting") errors.push(status.error?.message);
      if (status.state === "open" && ++opens === 2) again.resolve();
    },
  });
  await again.promise;
  assert.ok(errors.includes("Connection lost: no socket today"), String(errors));
});

Deno.test("an error of the program's own functions ends a connection with its cause", async () => {
  await using peer = startPeer({
    open(socket) {
      welcome(socket);
      socket.close(1012, "");
    },
  });
  const random = () => {
    throw new RangeError("the well of numbers is dry");
  };
  const connection = await connect({ ...quick(peer.url).options, random });
  const error = await connection.closed;
  assert.deepEqual([error?.reason, error?.message], [
    "connection-lost",
    "Connection lost: the well of numbers is dry",
  ]);
});
