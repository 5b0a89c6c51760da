/**
 * The parts of a socket over HTTP: events, batches, and the token after a REFRESH as the codec writes it; and a socket
 * that is closed without an answer. `tests/` has its requests to a Shield.
 */
import assert from "node:assert/strict";
import { encodePing, encodeRefresh } from "@arqon/proto";
import { until } from "../../../shared/testing/until.ts";
import { type ArqonError, connect } from "../mod.ts";
import { EventParser, FrameQueue, HttpSocket, refreshToken } from "./http_socket.ts";

Deno.test("a close without an answer ends the requests", async () => {
  const requests: string[] = [];
  const late = Promise.withResolvers<Response>();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, ({ method }) => {
    requests.push(method);
    if (method === "POST") return late.promise;
    const stream = new ReadableStream<string>({
      start: (out) => out.enqueue('event: session\ndata: {"path":"/x"}\n\ndata: "AA=="\n\n'),
    });
    return new Response(stream.pipeThrough(new TextEncoderStream()));
  });
  const socket = new HttpSocket(`ws://127.0.0.1:${server.addr.port}/v1/socket`, []);
  await new Promise((resolve) => socket.onmessage = resolve);
  const closed = new Promise<{ code: number }>((resolve) => socket.onclose = resolve);
  socket.close();
  assert.equal((await closed).code, 1006);
  assert.deepEqual(requests, ["GET", "POST"]);
  // A server that owes an answer does not end.
  late.resolve(new Response());
  await server.shutdown();
});

Deno.test("the error of a failed HTTP connection names its progress", async () => {
  const pieces = Promise.withResolvers<Response>();
  const answers: Record<string, () => Response | Promise<Response>> = {
    "no answer to its request": () => pieces.promise,
    "HTTP 200, and no event: a proxy may hold it back": () => new Response(new ReadableStream()),
    "its session, and no WELCOME": () =>
      new Response(
        new ReadableStream<string>({
          start: (out) => out.enqueue('event: session\ndata: {"path":"/x"}\n\n'),
        }).pipeThrough(new TextEncoderStream()),
      ),
  };
  for (const [came, answer] of Object.entries(answers)) {
    const server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      ({ url }) => url.endsWith("/connections") ? answer() : new Response(),
    );
    const url = `127.0.0.1:${server.addr.port}`;
    const options = { url, token: "a.b.c", transport: "http", handshake_timeout_ms: 500 } as const;
    await assert.rejects(connect(options), ({ reason, message }: ArqonError) => {
      assert.equal(reason, "unreachable");
      assert.ok(message.includes(`no WELCOME within 500 ms; over HTTP: ${came}`), message);
      return true;
    });
    pieces.resolve(new Response());
    await server.shutdown();
  }
});

/** Resolves after a garbage collection. */
async function collected(): Promise<void> {
  const ref = new WeakRef({});
  await until("garbage is collected", () => {
    Array.from({ length: 100 }, () => new Array(10_000).fill(0));
    return ref.deref() === undefined;
  });
}

Deno.test("a connection whose frames are refused leaves no stream behind, at any age", async () => {
  let is_gone = false;
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, ({ method }) => {
    if (method === "POST") return new Response(null, { status: 503 });
    let beat: ReturnType<typeof setInterval>;
    const stream = new ReadableStream<string>({
      start(out) {
        out.enqueue('event: session\ndata: {"path":"/x"}\n\ndata: "AA=="\n\n');
        // The runtime detects a disconnected client when it writes.
        beat = setInterval(() => out.enqueue(":\n\n"), 10);
      },
      cancel() {
        clearInterval(beat);
        is_gone = true;
      },
    });
    return new Response(stream.pipeThrough(new TextEncoderStream()));
  });
  const socket = new HttpSocket(`ws://127.0.0.1:${server.addr.port}/v1/socket`, []);
  await new Promise((resolve) => socket.onmessage = resolve);
  await collected();
  const closed = new Promise<{ code: number }>((resolve) => socket.onclose = resolve);
  socket.send(new Uint8Array([1]));
  assert.equal((await closed).code, 1006);
  await until("the stream has ended", () => is_gone, 10_000);
  await server.shutdown();
});

const STREAM =
  'retry: 5\n\n:\n\nevent: session\ndata: {"a":"ö"}\n\ndata: 1\r\ndata:2\r\n\r\ndata: x';

Deno.test("events are complete, however their bytes are split", () => {
  const bytes = new TextEncoder().encode(STREAM);
  for (const size of [1, 2, 3, 7, 1_000]) {
    const parser = new EventParser();
    const events = [];
    for (let at = 0; at < bytes.length; at += size) {
      events.push(...parser.read(bytes.subarray(at, at + size)));
    }
    assert.deepEqual(events, [
      { name: "session", data: '{"a":"ö"}' },
      { name: "message", data: "1\n2" },
    ]);
  }
});

Deno.test("frames go in their order, a batch has bounds, and its number counts", () => {
  const queue = new FrameQueue();
  assert.equal(queue.take(), undefined);
  queue.push(new Uint8Array([1, 2]));
  queue.push(new Uint8Array([3]));
  assert.equal(queue.bytes, 3);
  const first = [...queue.take()?.body ?? []];
  assert.deepEqual(first, [0, 0, 0, 0, 0, 0, 0, 2, 1, 2, 0, 0, 0, 1, 3]);
  assert.equal(queue.bytes, 0);
  for (let n = 0; n < 3; n++) queue.push(new Uint8Array(100_000));
  assert.deepEqual([1, 2, 3].map(() => queue.take()?.body.length), [100_008, 100_008, 100_008]);
  for (let n = 0; n < 1_025; n++) queue.push(new Uint8Array(1));
  queue.close();
  const many = queue.take();
  assert.deepEqual([many?.body.length, many?.last], [4 + 1_024 * 5, false]);
  const last = queue.take();
  assert.deepEqual([[...last?.body ?? []], last?.last], [
    [0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0, 0],
    true,
  ]);
  assert.equal(queue.take(), undefined);
});

Deno.test("the token of a REFRESH equals the encoded one, for any length and id", () => {
  for (const request_id of [0, 1, 127, 128, 300, 2 ** 31, 2 ** 53 - 1]) {
    for (const length of [5, 127, 128, 2_000, 16_384]) {
      const token = `a.b.${"c".repeat(length - 4)}`;
      assert.equal(refreshToken(encodeRefresh({ request_id, token })), token);
    }
  }
  assert.equal(refreshToken(encodePing(new Uint8Array([0x12, 1, 65]))), undefined);
  assert.equal(refreshToken(new Uint8Array([6])), undefined);
  assert.equal(refreshToken(new Uint8Array([6, 8, 255])), undefined);
});
