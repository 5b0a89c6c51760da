// Rare or impossible behaviour of a Shield, by a scripted peer with real sockets.
import assert from "node:assert/strict";
import { connect } from "../mod.ts";
import { quick, refusedWith, startPeer } from "../testing/scripted_peer.ts";
import { freePort } from "../../../tests/harness/free_ports.ts";

Deno.test("another server is distinguished from no server: 'unreachable'", async () => {
  await using peer = startPeer({
    refuse: () => true,
    http: () => new Response("<html>nginx</html>", { status: 404 }),
  });
  await assert.rejects(connect(quick(peer.url).options), /HTTP 404/);
  await assert.rejects(
    connect(quick(`ws://127.0.0.1:${freePort()}`).options),
    (error) => refusedWith("unreachable")(error) && /refused/i.test(String(error)),
  );
});

Deno.test("invalid options are refused at once, with a readable message", async () => {
  await assert.rejects(connect({ url: "ws://x" }), /no `token`, no `getToken`/);
  const transport = "sse" as "http";
  await assert.rejects(connect({ url: "ws://x", token: "e30.e30.c2ln", transport }), {
    name: "TypeError",
    message: 'transport is "sse"; expected "auto" or "websocket" or "http"',
  });
});

Deno.test("an unexpected error is a lost connection: it is reopened, and its cause is reported", async () => {
  await using peer = startPeer({
    open(line) {
      line.welcome();
      if (line.index === 0) line.socket.close(1012, "");
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
    open(line) {
      line.welcome();
      line.socket.close(1012, "");
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
