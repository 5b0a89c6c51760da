/** Faults that only TLS has, with the clients that people use: openssl, curl, Python, Node, and raw bytes. */
import assert from "node:assert/strict";
import { connect as connectTls } from "node:tls";
import { run as runProgram } from "../../tasks/checkout/programs.ts";
import { atEnd } from "../testing/at_end.ts";
import { standsStill, until } from "../testing/until.ts";
import { type BareUpgrade, takeBareUpgrade } from "./exchange.ts";
import { type BareListener, type BareListenOptions, listenBare } from "./listener.ts";
import { testCertificate } from "../listeners/testing/certificate.ts";

const HOST = "127.0.0.1";
const TLS = await testCertificate();
const REQUEST = "GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

async function serve(
  changes: Partial<BareListenOptions> = {},
): Promise<{ listener: BareListener; port: number } & AsyncDisposable> {
  const listener = await listenBare({
    host: HOST,
    port: 0,
    tls: TLS,
    limits: LIMITS,
    handler: () => new Response("hello\n"),
    onGone() {},
    ...changes,
  });
  return {
    listener,
    port: listener.port,
    async [Symbol.asyncDispose]() {
      const ended = listener.shutdown();
      listener.abandon();
      await ended;
    },
  };
}

/** All bytes until the end, as the system returns them. */
async function bytesUntilEnd(conn: Deno.Conn): Promise<number> {
  const buffer = new Uint8Array(65_536);
  for (let bytes = 0;;) {
    const count = await conn.read(buffer).catch(() => null);
    if (count === null) return bytes;
    bytes += count;
  }
}

async function hello(port: number): Promise<Deno.TlsConn> {
  const tcp = await Deno.connect({ hostname: HOST, port });
  return await Deno.startTls(tcp, { hostname: HOST, caCerts: [TLS.cert] });
}

/** A program with the certificate's file as {ca} and the port as {port}; gets `input`, returns its output. */
async function run(
  command: string,
  args: readonly string[],
  port: number,
  input = "",
): Promise<{ code: number; text: string }> {
  const ca = await Deno.makeTempFile({ suffix: ".pem" });
  await using _end = atEnd(() => Deno.remove(ca));
  await Deno.writeTextFile(ca, TLS.cert);
  const filled = args.map((arg) => arg.replaceAll("{ca}", ca).replaceAll("{port}", `${port}`));
  const ran = await runProgram(command, filled, { stdin: input });
  const { code, stdout, stderr } = ran ?? assert.fail(`there is no ${command}`);
  return { code, text: stdout + stderr };
}

for (const version of ["tls1_2", "tls1_3"]) {
  Deno.test(`openssl is answered with ${version}, and receives the end that shows nothing was cut off`, async () => {
    await using served = await serve();
    const flags = ["-quiet", "-verify_return_error", "-CAfile", "{ca}", `-${version}`];
    const args = ["s_client", "-connect", `${HOST}:{port}`, ...flags];
    const { code, text } = await run("openssl", args, served.port, REQUEST);
    assert.match(text, /HTTP\/1\.1 200 OK\r\n[^]*hello\n/);
    assert.doesNotMatch(text, /unexpected eof/i);
    assert.equal(code, 0, text);
    await until("nobody is left", () => served.listener.stats.open === 0);
  });
}

Deno.test("versions older than TLS 1.2 are refused at once", async () => {
  await using served = await serve();
  const flags = ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"];
  const args = ["s_client", "-connect", `${HOST}:{port}`, ...flags];
  const { code, text } = await run("openssl", args, served.port, REQUEST);
  assert.notEqual(code, 0);
  assert.match(text, /SSL alert number/);
  await until("nobody is left", () => served.listener.stats.open === 0);
});

Deno.test("curl is answered, several times on one connection", async () => {
  await using served = await serve();
  const url = `https://${HOST}:{port}/`;
  const { code, text } = await run("curl", ["-sS", "--cacert", "{ca}", url, url], served.port);
  assert.deepEqual({ code, text }, { code: 0, text: "hello\nhello\n" });
});

const PYTHON = `
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
tcp = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
tls = context.wrap_socket(tcp, server_hostname="localhost", suppress_ragged_eofs=False)
tls.sendall(sys.stdin.buffer.read())
while data := tls.recv(4096): sys.stdout.buffer.write(data)
`;
import { LIMITS } from "./testing/limits.ts";

Deno.test("Python, which is strict about the end, reads one in order", async () => {
  await using served = await serve();
  const { code, text } = await run(
    "python3",
    ["-c", PYTHON, "{ca}", "{port}"],
    served.port,
    REQUEST,
  );
  assert.equal(code, 0, text);
  assert.match(text, /hello\n$/);
});

Deno.test("a client that disconnects without an end leaves nothing behind", async () => {
  await using served = await serve();
  const socket = connectTls({ host: HOST, port: served.port, ca: TLS.cert });
  const answered = new Promise((resolve) => socket.once("data", resolve));
  socket.write("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n");
  await answered;
  assert.equal(served.listener.stats.open, 1);
  // TCP, without any byte of TLS.
  (socket as unknown as { _handle: { close(): void } })._handle.close();
  socket.destroy();
  await until("nobody is left", () => served.listener.stats.open === 0);
});

Deno.test("a stalled handshake is closed in time and counted; others are served meanwhile", async () => {
  let now_ms = 0;
  await using served = await serve({ now: () => now_ms });
  const { stats } = served.listener;
  const silent = await Deno.connect({ hostname: HOST, port: served.port });
  const half = await Deno.connect({ hostname: HOST, port: served.port });
  // The head of a record of 512 bytes, and of a ClientHello in it.
  await half.write(new Uint8Array([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 7, 7, 7]));
  using good = await hello(served.port);
  await good.write(new TextEncoder().encode(REQUEST));
  assert(await bytesUntilEnd(good) > 0);
  await until("both are ended", () => {
    now_ms += LIMITS.head_ms;
    return stats.timeouts.tls === 2;
  });
  for (const conn of [silent, half]) {
    assert.equal(await bytesUntilEnd(conn), 0);
    conn.close();
  }
  await until("nobody is left", () => served.listener.stats.open === 0);
});

Deno.test("a client that disconnects during the handshake leaves nothing behind", async () => {
  await using served = await serve();
  for (const bytes of [[], [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]]) {
    const conn = await Deno.connect({ hostname: HOST, port: served.port });
    await conn.write(new Uint8Array(bytes));
    await until("it has arrived", () => served.listener.stats.open === 1);
    conn.close();
    await until("nobody is left", () => served.listener.stats.open === 0);
  }
});

Deno.test("bytes that are not TLS are refused at once", async () => {
  await using served = await serve();
  const noise = crypto.getRandomValues(new Uint8Array(5_000));
  const kinds = [
    new TextEncoder().encode(REQUEST),
    noise,
    new Uint8Array([0x16, 3, 1, 0xff, 0xff, ...noise]),
    new Uint8Array([0x15, 3, 3, 0, 2, 2, 40]),
    new Uint8Array([0x17, 3, 3, 0, 5, 1, 2, 3, 4, 5]),
  ];
  for (const bytes of kinds) {
    using conn = await Deno.connect({ hostname: HOST, port: served.port });
    await conn.write(bytes);
    // An alert at most.
    assert(await bytesUntilEnd(conn) < 10);
  }
  await until("nobody is left", () => served.listener.stats.open === 0);
  assert.equal(served.listener.stats.timeouts.tls, 0);
  using good = await hello(served.port);
  await good.write(new TextEncoder().encode(REQUEST));
  assert(await bytesUntilEnd(good) > 0);
});

/** More than both systems buffer for one connection. */
const FLOOD_BYTES = 100_000_000;

Deno.test("nothing is read from a paused client, and everything later", async () => {
  const reading = Promise.withResolvers<void>();
  let taken = 0;
  await using served = await serve({
    handler(request) {
      const upgrade = takeBareUpgrade(request) as BareUpgrade;
      upgrade.take(new TextEncoder().encode("HTTP/1.1 101 Switching Protocols\r\n\r\n"), {
        async run(stream, _early, onOver) {
          const buffer = new Uint8Array(1_024);
          taken += await stream.read(buffer) ?? 0;
          await reading.promise;
          const large = new Uint8Array(65_536);
          for (let count = 0; (count = await stream.read(large) ?? 0) > 0;) taken += count;
          stream.close();
          onOver();
        },
        lost() {},
      });
      return upgrade.response;
    },
  });
  using conn = await hello(served.port);
  const head = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
  await conn.write(new TextEncoder().encode(head));
  await conn.read(new Uint8Array(100));
  let sent = 0;
  const chunk = new Uint8Array(65_536);
  const sending = (async () => {
    while (sent < FLOOD_BYTES) sent += await conn.write(chunk);
    await conn.closeWrite();
  })();
  await standsStill(() => sent);
  assert(sent < FLOOD_BYTES / 2, `${sent} bytes were taken`);
  reading.resolve();
  await sending;
  assert.equal(await bytesUntilEnd(conn), 0);
  assert.equal(taken, sent);
});

Deno.test("a new certificate is served to later clients", async () => {
  const next = await testCertificate();
  await using served = await serve();
  using before = await hello(served.port);
  await before.handshake();
  served.listener.renew(next);
  await assert.rejects(async () => {
    using old = await hello(served.port);
    await old.handshake();
  });
  const tcp = await Deno.connect({ hostname: HOST, port: served.port });
  using conn = await Deno.startTls(tcp, { hostname: HOST, caCerts: [next.cert] });
  await conn.handshake();
  await before.write(new TextEncoder().encode(REQUEST));
  assert(await bytesUntilEnd(before) > 0);
});
