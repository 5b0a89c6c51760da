/** A socket over HTTP that is closed while nobody answers. What it says to a Shield is in `tests/`. */
import assert from "node:assert/strict";
import { HttpSocket } from "./http_socket.ts";

Deno.test("a close that nobody answers ends the requests all the same", async () => {
  const asked: string[] = [];
  const late = Promise.withResolvers<Response>();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, ({ method }) => {
    asked.push(method);
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
  assert.deepEqual(asked, ["GET", "POST"]);
  // A server that owes an answer does not end.
  late.resolve(new Response());
  await server.shutdown();
});
