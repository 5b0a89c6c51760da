/** Streamed answers, to a client that reads them, and to one that disconnects. */
import assert from "node:assert/strict";
import { clientBehind } from "../listeners/forwarded.ts";
import { listen } from "../listeners/listen.ts";
import { until } from "../testing/until.ts";
import { inChunks, writeAnswer } from "./answer.ts";
import { listenBare } from "./listener.ts";
import type { Handler } from "./exchange.ts";

const HOST = "127.0.0.1";
const TYPE = { headers: { "content-type": "text/event-stream" } };

function open(handler: Handler) {
  const listener = listen({ name: "admin", host: HOST, port: 0, handler });
  return { ...listener, [Symbol.asyncDispose]: () => listener.close(100) };
}

Deno.test("each piece is sent when it is written, and the end is known", async () => {
  const { readable, writable } = new TransformStream<Uint8Array<ArrayBuffer>>();
  await using listener = open(() => new Response(readable, TYPE));
  const writer = writable.getWriter();
  const response = await fetch(listener.url);
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  for (const text of ["data: 1\n\n", "data: 2\n\n"]) {
    await writer.write(new TextEncoder().encode(text));
    assert.equal((await reader?.read())?.value, text);
  }
  await writer.close();
  assert.equal((await reader?.read())?.done, true);
  assert.equal(response.headers.get("connection"), "close");
});

Deno.test("an answer in chunks has its length, and is written chunk by chunk", async () => {
  const written: string[] = [];
  const decoder = new TextDecoder();
  const stream = {
    read: () => Promise.resolve(null),
    closeWrite: () => Promise.resolve(),
    close: () => {},
    write(bytes: Uint8Array) {
      written.push(decoder.decode(bytes));
      return Promise.resolve(bytes.length);
    },
  };
  const chunks = ["a", "b", "c"].map((letter) => letter.repeat(40_000));
  const answerOf = (all: readonly string[]) =>
    inChunks(new Response(ReadableStream.from(all.map((one) => new TextEncoder().encode(one)))));
  const to = { keep_alive: true, date: "now" };
  await writeAnswer(stream, answerOf(chunks), { method: "GET", ...to });
  const [head, ...body] = written;
  assert.match(head ?? "", /content-length: 120000\r\n/);
  assert.deepEqual(body, chunks);
  written.length = 0;
  await writeAnswer(stream, answerOf(["a", "b"]), { method: "GET", ...to });
  await writeAnswer(stream, answerOf(["a", "b"]), { method: "HEAD", ...to });
  assert.deepEqual(written.map((text) => text.split("\r\n\r\n")[1]), ["ab", ""]);
  assert.match(written[1] ?? "", /content-length: 2\r\n/);
});

Deno.test("the writer notices that the client has disconnected", async () => {
  const { promise: cancelled, resolve } = Promise.withResolvers<void>();
  const stream = () => new ReadableStream<Uint8Array>({ cancel: () => resolve() });
  await using listener = open(() => new Response(stream(), TYPE));
  const gone = new AbortController();
  const response = await fetch(listener.url, { signal: gone.signal });
  assert.equal(response.status, 200);
  gone.abort();
  await response.body?.cancel().catch(() => {});
  await cancelled;
});

Deno.test("HEAD of a streamed answer is answered without a body", async () => {
  const { promise: cancelled, resolve } = Promise.withResolvers<void>();
  const stream = () => new ReadableStream<Uint8Array>({ cancel: () => resolve() });
  await using listener = open(() => new Response(stream(), TYPE));
  const response = await fetch(listener.url, { method: "HEAD" });
  assert.equal(response.headers.get("content-type"), "text/event-stream");
  await cancelled;
});

Deno.test("a client's requests through a proxy use only its own places", async () => {
  const waiting: (() => void)[] = [];
  const ms = 60_000;
  const listener = await listenBare({
    host: HOST,
    port: 0,
    onGone() {},
    limits: {
      strangers: 100,
      strangers_per_address: 2,
      descriptors: 100,
      head_ms: ms,
      body_ms: ms,
      idle_ms: ms,
      answer_ms: ms,
    },
    proxies: { isProxy: (address) => address === HOST, speaksFirst: false },
    clientOf: clientBehind((address) => address === HOST, "x-forwarded-for"),
    handler: () => new Promise((resolve) => waiting.push(() => resolve(new Response("ok\n")))),
  });
  const ask = async (address: string) => {
    const before = waiting.length;
    const conn = await Deno.connect({ hostname: HOST, port: listener.port });
    const request = `GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: ${address}\r\n\r\n`;
    await conn.write(new TextEncoder().encode(request));
    await until("the request arrives", () => waiting.length > before);
    return conn;
  };
  const other = await ask("203.0.113.9");
  const many = [];
  for (let count = 0; count < 4; count++) many.push(await ask("203.0.113.7"));
  assert.deepEqual(listener.stats.evicted, { address: 2, total: 0 });
  for (const answer of waiting) answer();
  const textOf = async (conn: Deno.Conn) => {
    const buffer = new Uint8Array(1_000);
    const count = await conn.read(buffer).catch(() => null);
    return count === null
      ? "ended"
      : new TextDecoder().decode(buffer.subarray(0, count)).slice(9, 12);
  };
  assert.deepEqual(await Promise.all(many.map(textOf)), ["ended", "ended", "200", "200"]);
  assert.equal(await textOf(other), "200");
  for (const conn of [other, ...many]) conn.close();
  const ended = listener.shutdown();
  listener.abandon();
  await ended;
});
