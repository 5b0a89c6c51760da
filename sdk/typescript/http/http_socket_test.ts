/** A socket over HTTP that is closed without an answer. `tests/` has its requests to a Shield. */
import assert from "node:assert/strict";
import { until } from "../../../shared/testing/until.ts";
import { type ArqonError, connect } from "../mod.ts";
import { HttpSocket } from "./http_socket.ts";

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
