/**
 * Centrifugo's clients without WebSocket, with a client that sends what no library would: refused streams, the ends of
 * streams, slow clients, and commands to another Shield.
 */
import assert from "node:assert/strict";
import { found, until } from "../shared/testing/until.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { samplesOf } from "./harness/server_state.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { apiKey, order } from "./peers/centrifugo_peer.ts";

const CONFIG = "[centrifugo]\nenabled = true\n";

// deno-lint-ignore no-explicit-any -- A peer's message may have any form; the test checks it.
type Reply = any;

/** A stream of lines, with all messages that it has received; disposing of it disconnects the client. */
class Stream implements Disposable {
  readonly received: Reply[] = [];
  readonly headers: Headers;
  ended = false;
  readonly #gone: AbortController;

  constructor({ headers, body }: Response, gone: AbortController) {
    this.headers = headers;
    this.#gone = gone;
    void this.#read(body!).catch(() => {}).then(() => this.ended = true);
  }

  static async open(bus: TestBus, path: string, ...commands: unknown[]): Promise<Stream> {
    const gone = new AbortController();
    const lines = commands.map((one) => JSON.stringify(one)).join("\n");
    const is_sse = path.endsWith("/sse");
    const url = new URL(path, bus.http_url);
    if (is_sse) url.searchParams.set("cf_connect", lines);
    const post = { method: "POST", body: lines };
    return new Stream(await fetch(url, { signal: gone.signal, ...(is_sse ? {} : post) }), gone);
  }

  async #read(body: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<void> {
    let text = "";
    for await (const piece of body.pipeThrough(new TextDecoderStream())) {
      text += piece;
      const lines = text.split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) if (line !== "") this.received.push(line.replace(/^data: /, ""));
    }
  }

  next(is: (reply: Reply) => boolean): Promise<Reply> {
    const say = () => `received ${this.received}`;
    return found(say, () => this.received.map((line) => JSON.parse(line)).find(is));
  }

  /** The code with which the stream ends. */
  async end(): Promise<number> {
    const { push } = await this.next((reply) => reply.push?.disconnect !== undefined);
    await until("the end", () => this.ended);
    return push.disconnect.code;
  }

  [Symbol.dispose](): void {
    this.#gone.abort();
  }
}

const emulate = (bus: TestBus, body: unknown, init: RequestInit = {}) =>
  fetch(new URL("/emulation", bus.http_url), {
    method: "POST",
    body: typeof body === "string" || body instanceof Uint8Array
      ? body as BodyInit
      : JSON.stringify(body),
    ...init,
  });

/** Status and reason of an answer. */
async function repliesOf(answer: Response): Promise<unknown[]> {
  const text = await answer.text();
  return text === "" ? [answer.status] : [answer.status, JSON.parse(text).reason];
}

Deno.test("the Shield refuses invalid streams and commands of unknown sessions", async () => {
  await using bus = await startLocalBus(
    `[server]\nallowed_origins = ["https://a.example"]\n${CONFIG}`,
  );
  const connect = { id: 1, connect: { token: await bus.tokenFor() } };
  using stream = await Stream.open(bus, "/connection/http_stream", connect);
  const { connect: { node, session } } = await stream.next((reply) => reply.id === 1);
  const ping = { data: '{"id":2,"ping":{}}' };
  const cases: [unknown, ...unknown[]][] = [
    [{ node, session, ...ping }, 204],
    [{ node, session: `${session}x`, ...ping }, 404, "not-found"],
    [{ node: "nobody", session, ...ping }, 404, "not-found"],
    [{ node: "no.id", session, ...ping }, 404, "not-found"],
    [{ node: "nobody", session: "\ud800", ...ping }, 404, "not-found"],
    ["{", 400, "malformed-frame"],
    [new Uint8Array([0xff, 0xfe]), 400, "malformed-frame"],
    [{ node: 1 }, 400, "malformed-frame"],
    [" ".repeat(600_000), 413, "too-large"],
  ];
  for (const [body, ...wanted] of cases) {
    assert.deepEqual(await repliesOf(await emulate(bus, body)), wanted, `${body}`.slice(0, 50));
  }
  await stream.next((reply) => reply.id === 2);
  for (const path of ["/connection/http_stream", "/emulation"]) {
    const got = await repliesOf(await fetch(new URL(path, bus.http_url)));
    assert.deepEqual(got, [405, "method-not-allowed"], path);
  }
  const page = { headers: { origin: "https://a.example" } };
  const asked = await emulate(bus, undefined, { method: "OPTIONS", ...page });
  await asked.body?.cancel();
  assert.equal(asked.headers.get("access-control-allow-headers"), "content-type");
  const from = await emulate(bus, { node, session, ...ping }, page);
  assert.equal(from.headers.get("access-control-allow-origin"), "https://a.example");
  const other = { headers: { origin: "https://b.example" } };
  assert.deepEqual(await repliesOf(await emulate(bus, {}, other)), [403, "origin-not-allowed"]);
});

Deno.test("a stream ends with its disconnect code, and its session ends with it", async () => {
  await using bus = await startLocalBus(`[server]\ndrain_ms = 0\n${CONFIG}`);
  const token = await bus.tokenFor();
  for (const path of ["/connection/sse", "/connection/http_stream"]) {
    for (
      const [command, code] of [
        [{ id: 1, subscribe: { channel: "a" } }, 3501],
        [{ id: 1, connect: { token: "no.token.here" } }, 3500],
      ] as const
    ) {
      using stream = await Stream.open(bus, path, command);
      assert.equal(await stream.end(), code, path);
    }
  }
  using gone = await Stream.open(bus, "/connection/sse", { id: 1, connect: { token } });
  assert.match(gone.headers.get("content-type") ?? "", /^text\/event-stream/);
  const { connect } = await gone.next((reply) => reply.id === 1);
  gone[Symbol.dispose]();
  const { node, session } = connect;
  const again = () => emulate(bus, { node, session, data: "{}" }).then(repliesOf);
  await until("the session's end", async () => (await again())[0] === 404);
  const streams = await Promise.all(
    ["/connection/sse", "/connection/http_stream"].map((path) =>
      Stream.open(bus, path, { id: 1, connect: { token } })
    ),
  );
  for (const stream of streams) await stream.next((reply) => reply.id === 1);
  const stopped = bus.stop();
  for (const stream of streams) assert.equal(await stream.end(), 3001);
  await stopped;
});

Deno.test("a stream ends with the backend's code and no other", async () => {
  await using bus = await startLocalBus(CONFIG + apiKey());
  for (const path of ["/connection/sse", "/connection/http_stream"]) {
    // The bus itself uses these codes and reasons.
    for (const [code, reason] of [[4401, "x"], [4408, ""], [3000, "token-expired"]] as const) {
      const connect = { token: await bus.tokenFor({ user: "ann" }) };
      using stream = await Stream.open(bus, path, { id: 1, connect });
      await stream.next((reply) => reply.id === 1);
      const end = { user: "ann", disconnect: { code, reason } };
      assert.deepEqual(await order(bus.http_url, "disconnect", end), { result: {} });
      assert.equal(await stream.end(), code, path);
      assert.deepEqual(stream.received.slice(1).map((line) => JSON.parse(line)), [
        { push: { disconnect: { code, reason } } },
      ]);
    }
  }
});

Deno.test("a client that answers no pings or reads too slowly is disconnected", async () => {
  const limits = "[server]\nheartbeat_ms = 1_000\n[limits]\nunsent_bytes = 65_536\n";
  await using bus = await startLocalBus(`${limits}${CONFIG}`);
  const connect = { id: 1, connect: { token: await bus.tokenFor() } };
  using silent = await Stream.open(bus, "/connection/http_stream", connect);
  assert.equal(await silent.end(), 3012);
  const body = JSON.stringify(connect) + '\n{"id":2,"subscribe":{"channel":"news"}}';
  const url = new URL("/connection/http_stream", bus.http_url);
  const slow = await fetch(url, { method: "POST", body });
  const open = async () => (await samplesOf(bus.ops_url)).get("shield_centrifugo_connections");
  await until("it is in", async () => await open() === 1);
  const backend = new HttpPeer(bus.http_url, await bus.tokenFor({ role: "service" }));
  const data = "x".repeat(200_000);
  await until("it is let go", async () => {
    await backend.done("POST", "rooms/news/messages", { type: "t", data });
    return await open() === 0;
  });
  await slow.body?.cancel().catch(() => {});
});
