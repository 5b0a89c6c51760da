/** Our own client listener, with real connections over TCP and over TLS, some of which misbehave. */
import assert from "node:assert/strict";
import { request as nodeRequest } from "node:http";
import { keptLog } from "../testing/logs.ts";
import { until } from "../testing/until.ts";
import { groupOf } from "./arrivals.ts";
import { writeAll } from "./byte_stream.ts";
import { type BareUpgrade, takeBareUpgrade } from "./exchange.ts";
import { type BareListener, type BareListenOptions, listenBare } from "./listener.ts";
import { testCertificate } from "../listeners/testing/certificate.ts";
import { LIMITS } from "./testing/limits.ts";

type Changes = Partial<Omit<BareListenOptions, "limits">> & {
  readonly limits?: Partial<BareListenOptions["limits"]>;
};

/** Answers with method, path, client and body. */
async function tell(request: Request, { remoteAddr }: Deno.ServeHandlerInfo<Deno.NetAddr>) {
  const { pathname } = new URL(request.url);
  if (pathname === "/unread") return new Response("unread");
  if (pathname === "/no") return new Response("no", { status: 403 });
  const body = await request.text();
  return Response.json({ method: request.method, pathname, body, from: remoteAddr.hostname });
}

class Served implements AsyncDisposable {
  readonly listener: BareListener;
  readonly #ca: string | undefined;

  private constructor(listener: BareListener, ca: string | undefined) {
    this.listener = listener;
    this.#ca = ca;
  }

  static async start({ limits, ...changes }: Changes = {}): Promise<Served> {
    const listener = await listenBare({
      host: "127.0.0.1",
      port: 0,
      handler: tell,
      onGone() {},
      ...changes,
      limits: { ...LIMITS, ...limits },
    });
    return new Served(listener, changes.tls?.cert);
  }

  /** A TCP connection; `before` is sent on it before TLS. */
  async connect(before?: Uint8Array<ArrayBuffer>): Promise<Deno.Conn> {
    const hostname = "127.0.0.1";
    const tcp = await Deno.connect({ port: this.listener.port, hostname });
    if (before !== undefined) await tcp.write(before);
    return this.#ca === undefined
      ? tcp
      : await Deno.startTls(tcp, { hostname, caCerts: [this.#ca] });
  }

  /** The whole answer to these bytes, until the server ends the connection. */
  async ask(text: string): Promise<string> {
    using conn = await this.connect();
    await writeAll(conn, new TextEncoder().encode(text));
    return await readToEnd(conn);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = this.listener.shutdown();
    this.listener.abandon();
    await ended;
  }
}

async function readToEnd(conn: Deno.Conn): Promise<string> {
  let text = "";
  const buffer = new Uint8Array(65_536);
  for (;;) {
    const count = await conn.read(buffer).catch(() => null);
    if (count === null) return text;
    text += new TextDecoder().decode(buffer.subarray(0, count));
  }
}

const TLS = await testCertificate();

/** Runs the test over TCP and over TLS. */
function test(name: string, run: (kind: Pick<Changes, "tls">) => Promise<void>): void {
  Deno.test(name, () => run({}));
  Deno.test(`${name} (TLS)`, () => run({ tls: TLS }));
}

test("requests in one packet are answered in order, and close ends the connection", async (kind) => {
  await using served = await Served.start(kind);
  const text = await served.ask(
    "GET /a HTTP/1.1\r\nHost: x\r\n\r\n" +
      "POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi" +
      "POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nho\r\n0\r\n\r\n" +
      "POST /unread HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nbye" +
      "HEAD /d HTTP/1.1\r\nHost: x\r\n\r\n" +
      "GET /e HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" +
      "GET /never HTTP/1.1\r\nHost: x\r\n\r\n",
  );
  const answers = text.split("HTTP/1.1 200 OK\r\n").slice(1);
  assert.equal(answers.length, 6, text);
  assert.match(answers[1] as string, /"body":"hi"/);
  assert.match(answers[2] as string, /"body":"ho"/);
  assert.match(answers[3] as string, /unread$/);
  // The length of the answer to GET, and no body.
  assert.match(answers[4] as string, /content-length: \d\d\r\n\r\n$/);
  assert.match(answers[5] as string, /connection: close\r\n/);
  assert.match(answers[0] as string, /^date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r$/m);
});

test("100 Continue is sent only if the body is read", async (kind) => {
  await using served = await Served.start(kind);
  const head = (path: string) =>
    `POST ${path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n`;
  using conn = await served.connect();
  await conn.write(new TextEncoder().encode(head("/a")));
  const buffer = new Uint8Array(1_000);
  const count = await conn.read(buffer) ?? 0;
  assert.equal(
    new TextDecoder().decode(buffer.subarray(0, count)),
    "HTTP/1.1 100 Continue\r\n\r\n",
  );
  assert.match(await served.ask(head("/unread")), /^HTTP\/1\.1 200 OK\r\n[^]*connection: close/);
});

test("an answer before a body that is too long to skip announces the end of the connection", async (kind) => {
  await using served = await Served.start(kind);
  const unread = (framing: string, body: string) =>
    served.ask(
      `POST /unread HTTP/1.1\r\nHost: x\r\n${framing}\r\n\r\n${body}` +
        "GET /e HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
  const long = "y".repeat(70_000);
  for (
    const text of [
      await unread(`Content-Length: ${long.length}`, long),
      await unread("Transfer-Encoding: chunked", `11170\r\n${long}\r\n0\r\n\r\n`),
    ]
  ) assert.match(text, /^HTTP\/1\.1 200 OK\r\n[^]*connection: close\r\n[^]*unread$/);
  // A skipped body does not end the connection.
  const chunked = await unread("Transfer-Encoding: chunked", "3\r\nyyy\r\n0\r\n\r\n");
  assert.match(chunked, /unreadHTTP\/1\.1 200 OK/);
  assert.match(await unread("Content-Length: 3", "yyy"), /unreadHTTP\/1\.1 200 OK/);
});

test("an answer with close ends the connection", async (kind) => {
  const headers = { connection: "close" };
  await using served = await Served.start({
    ...kind,
    handler: () => new Response("bye", { headers }),
  });
  const text = await served.ask("GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\n");
  assert.match(text, /^HTTP\/1\.1 200 OK\r\n[^]*connection: close\r\n[^]*bye$/);
});

test("a malformed request is answered with the problem, and later bytes are not read", async (kind) => {
  await using served = await Served.start(kind);
  const text = await served.ask("GET /a HTTP/1.1\r\nHost: x\r\n folded\r\n\r\nGET /b HTTP/1.1\r\n");
  assert.match(text, /^HTTP\/1\.1 400 Bad Request\r\n[^]*a header over several lines\n$/);
  const long = `GET / HTTP/1.1\r\nHost: x\r\nX: ${"y".repeat(140_000)}\r\n\r\n`;
  assert.match(await served.ask(long), /^HTTP\/1\.1 431 /);
});

Deno.test("Node's own client is served, with keep-alive and a large body", async () => {
  await using served = await Served.start();
  const answer = await new Promise<string>((resolve, reject) => {
    const { port } = served.listener;
    const pending = nodeRequest({ port, host: "127.0.0.1", method: "PUT", path: "/n" }, (reply) => {
      let text = "";
      reply.on("data", (data) => text += data);
      reply.on("end", () => resolve(text));
    });
    pending.on("error", reject);
    pending.write("x".repeat(200_000));
    pending.end("y");
  });
  assert.equal(JSON.parse(answer).body.length, 200_001);
});

test("a peer that goes before its upgrade is answered is lost, and nothing runs", async (kind) => {
  const called: string[] = [];
  const going = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<void>();
  await using served = await Served.start({
    ...kind,
    async handler(request) {
      const upgrade = takeBareUpgrade(request) as BareUpgrade;
      // More than the system buffers for a peer that reads nothing.
      upgrade.take(new Uint8Array(50_000_000), {
        run: () => Promise.resolve(void called.push("run")),
        lost: () => void called.push("lost"),
      });
      asked.resolve();
      await going.promise;
      return upgrade.response;
    },
  });
  const conn = await served.connect();
  const head = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
  await conn.write(new TextEncoder().encode(head));
  await asked.promise;
  conn.close();
  going.resolve();
  await until("it is notified", () => called.length > 0);
  assert.deepEqual(called, ["lost"]);
  await until("nobody is left", () => served.listener.stats.open === 0);
});

const WAIT_MS = 1_000;

/**
 * Sends a text to a listener with a stopped clock, then lets time pass until the limit of that phase closes the
 * connection; returns the answer.
 */
async function endIn(phase: "head" | "body" | "idle", kind: Changes, text: string) {
  let now_ms = 0;
  const limits = { [`${phase}_ms`]: WAIT_MS };
  await using served = await Served.start({ ...kind, now: () => now_ms, limits });
  using conn = await served.connect();
  await writeAll(conn, new TextEncoder().encode(text));
  const first = new Uint8Array(1_000);
  const length = phase === "idle" ? await conn.read(first) ?? 0 : 0;
  const { timeouts } = served.listener.stats;
  await until(`the limit of ${phase} ends it`, () => {
    now_ms += WAIT_MS;
    return timeouts[phase] === 1;
  });
  assert.equal(await readToEnd(conn), "");
  return new TextDecoder().decode(first.subarray(0, length));
}

test("a client that is slow with head or body, or silent, is closed in time and counted", async (kind) => {
  await endIn("head", kind, "");
  await endIn("head", kind, "GET / HTTP/1.1\r\nHost: x\r\nX: ");
  await endIn("body", kind, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nh");
  const answer = await endIn("idle", kind, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
  assert.match(answer, /^HTTP\/1\.1 200 OK/);
});

test("one stranger too many closes the oldest stranger, and no client with a token", async (kind) => {
  await using served = await Served.start({
    ...kind,
    limits: { strangers: 50, strangers_per_address: 3 },
  });
  const { stats } = served.listener;
  using known = await served.connect();
  await known.write(new TextEncoder().encode("GET /a HTTP/1.1\r\nHost: x\r\n\r\n"));
  await known.read(new Uint8Array(1_000));
  const strangers: Deno.Conn[] = [];
  for (let count = 1; count <= 5; count++) {
    strangers.push(await served.connect());
    await until("it is accepted", () => served.listener.stats.open === 1 + Math.min(count, 3));
    await until(
      "the bound holds",
      () => served.listener.stats.evicted.address === Math.max(0, count - 3),
    );
  }
  for (const ended of strangers.slice(0, 2)) assert.equal(await readToEnd(ended), "");
  assert.equal(served.listener.stats.strangers, 3);
  assert.equal(stats.evicted.total, 0);
  await known.write(new TextEncoder().encode("GET /b HTTP/1.1\r\nHost: x\r\n\r\n"));
  assert.equal(await known.read(new Uint8Array(1_000)) !== null, true);
  for (const conn of strangers) conn.close();
});

test("a displaced stranger is answered 503 once its request arrives, unless too many wait for that", async (kind) => {
  await using served = await Served.start({
    ...kind,
    limits: { strangers: 3, strangers_per_address: 2 },
    turnAway: (_request, _info, why) => new Response(`no place: ${why}`, { status: 503 }),
  });
  const request = new TextEncoder().encode("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
  const { evicted } = served.listener.stats;
  const strangers: Deno.Conn[] = [];
  for (let count = 1; count <= 6; count++) {
    strangers.push(await served.connect());
    await until("the bound holds", () => evicted.address === Math.max(0, count - 2));
  }
  // Two have a place and three wait for their answer.
  assert.equal(await readToEnd(strangers[0] as Deno.Conn), "");
  assert.equal(served.listener.stats.strangers, 5);
  for (const away of strangers.slice(1, 4)) {
    await away.write(request);
    assert.match(
      await readToEnd(away),
      /^HTTP\/1\.1 503 [^]*connection: close[^]*no place: address$/,
    );
  }
  for (const inside of strangers.slice(4)) {
    await inside.write(request);
    const answer = new Uint8Array(1_000);
    const text = new TextDecoder().decode(answer.subarray(0, await inside.read(answer) ?? 0));
    assert.match(text, /^HTTP\/1\.1 200 OK/);
  }
  for (const conn of strangers) conn.close();
});

test("a stranger being served when displaced still gets its answer", async (kind) => {
  const { promise: answer, resolve } = Promise.withResolvers<Response>();
  let requests = 0;
  await using served = await Served.start({
    ...kind,
    limits: { strangers: 50, strangers_per_address: 1 },
    turnAway: () => new Response("no place", { status: 503 }),
    handler: () => ++requests === 1 ? answer : new Response("second"),
  });
  const request = new TextEncoder().encode("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
  using first = await served.connect();
  await first.write(request);
  await until("it is served", () => requests === 1);
  assert.match(
    await served.ask("GET /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
    /second$/,
  );
  assert.equal(served.listener.stats.evicted.address, 1);
  resolve(new Response("first", { headers: { connection: "close" } }));
  assert.match(await readToEnd(first), /^HTTP\/1\.1 200 OK[^]*first$/);
});

test("a refused request leaves its sender a stranger", async (kind) => {
  await using served = await Served.start(kind);
  using conn = await served.connect();
  await conn.write(new TextEncoder().encode("GET /no HTTP/1.1\r\nHost: x\r\n\r\n"));
  await conn.read(new Uint8Array(1_000));
  assert.equal(served.listener.stats.strangers, 1);
});

/** A PROXY header of version 2 for a client over IPv4, or over IPv6. */
function proxyHeader(command: number, address: readonly number[]): Uint8Array<ArrayBuffer> {
  const signature = [13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10];
  const addresses = [...address, ...address, 0x30, 0x39, 0x0f, 0xa0];
  const family = address.length === 4 ? 0x11 : 0x21;
  return new Uint8Array([...signature, command, family, 0, addresses.length, ...addresses]);
}

test("a trusted proxy must name the client of each connection", async (kind) => {
  await using served = await Served.start({
    ...kind,
    proxies: { speaksFirst: true, isProxy: (address) => address === "127.0.0.1" },
  });
  const request = new TextEncoder().encode(
    "GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
  );
  const askWith = async (header: Uint8Array<ArrayBuffer>) => {
    using conn = await served.connect(header);
    // A client refused before TLS cannot write.
    await conn.write(request).catch(() => {});
    return await readToEnd(conn);
  };
  assert.match(await askWith(proxyHeader(0x21, [10, 1, 2, 3])), /"from":"10\.1\.2\.3"/);
  assert.match(await askWith(proxyHeader(0x20, [10, 1, 2, 3])), /"from":"127\.0\.0\.1"/);
  const mapped = [...new Array(10).fill(0), 0xff, 0xff, 10, 1, 2, 3];
  assert.match(await askWith(proxyHeader(0x21, mapped)), /"from":"10\.1\.2\.3"/);
  const v6 = [0x20, 1, 0xd, 0xb8, ...new Array(11).fill(0), 5];
  assert.match(await askWith(proxyHeader(0x21, v6)), /"from":"2001:db8::5"/);
  assert.equal(await askWith(new Uint8Array(0)), "");
  assert.equal(await askWith(proxyHeader(0x22, [10, 1, 2, 3])), "");
});

test("a shutdown closes idle connections, answers running requests, and accepts no new ones", async (kind) => {
  const { promise: answer, resolve } = Promise.withResolvers<Response>();
  const asked = Promise.withResolvers<void>();
  const served = await Served.start({
    ...kind,
    handler() {
      asked.resolve();
      return answer;
    },
  });
  using idle = await served.connect();
  using asking = await served.connect();
  await asking.write(new TextEncoder().encode("GET /a HTTP/1.1\r\nHost: x\r\n\r\n"));
  await until("both are connected", () => served.listener.stats.open === 2);
  await asked.promise;
  const ended = served.listener.shutdown();
  assert.equal(await readToEnd(idle), "");
  await assert.rejects(served.connect());
  resolve(new Response("late"));
  assert.match(await readToEnd(asking), /connection: close[^]*late$/);
  await ended;
});

test("an answer that fails, or is cut off by its source, is in the log", async (kind) => {
  const { log, lines } = keptLog();
  const half = async function* () {
    yield new TextEncoder().encode("{}\n");
    await Promise.reject(new Error("the store is gone"));
  };
  const handler = ({ url }: Request) => {
    if (url.endsWith("/bug")) throw new TypeError("a bug");
    const headers = { "content-type": "application/x-ndjson" };
    return new Response(ReadableStream.from(half()), { headers });
  };
  await using served = await Served.start({ ...kind, handler, log });
  const ask = (path: string) =>
    served.ask(`GET ${path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`);
  assert.match(await ask("/bug"), /^HTTP\/1.1 500 /);
  assert.match(await ask("/export"), /\{\}\n\r\n$/);
  const warnings = lines.filter((line) => /level=warn .*an answer failed/.test(line)).join("");
  assert.match(warnings, /a bug[^]*the store is gone/);
});

Deno.test("an address of IPv6 counts as its /64, one of IPv4 as itself", () => {
  assert.equal(groupOf("10.0.0.1"), "10.0.0.1");
  assert.equal(groupOf("::ffff:10.0.0.1"), "10.0.0.1");
  assert.equal(groupOf("2001:db8:0:1:aaaa::1"), groupOf("2001:0db8::1:0:0:0:2"));
  assert.notEqual(groupOf("2001:db8:0:1::1"), groupOf("2001:db8:0:2::1"));
  assert.equal(groupOf("::1"), "0:0:0:0");
});
