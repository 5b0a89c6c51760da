/** Streams that push arriving bytes, over TCP and over TLS: pauses, writes and ends. */
import assert from "node:assert/strict";
import { testCertificate } from "../listeners/testing/certificate.ts";
import type { TlsPair } from "./door.ts";
import { standsStill, until } from "../testing/until.ts";
import type { ByteSink, LiveStream } from "./byte_stream.ts";
import { takeBareUpgrade } from "./exchange.ts";
import { listenBare } from "./listener.ts";

const HOST = "127.0.0.1";
const TLS = await testCertificate();
const MS = 60_000;
const LIMITS = {
  strangers: 100,
  strangers_per_address: 100,
  descriptors: 1_000,
  head_ms: MS,
  body_ms: MS,
  idle_ms: MS,
  answer_ms: MS,
};
const UPGRADE = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n";

/** The sink of one connection with its received bytes, and its stream. */
class Received implements ByteSink {
  readonly stream: LiveStream;
  bytes = 0;
  writes = 0;
  ends = 0;
  onArrived: (bytes: Uint8Array) => void = () => {};

  constructor(stream: LiveStream) {
    this.stream = stream;
  }

  arrived(bytes: Uint8Array, end: number): void {
    this.bytes += end;
    this.onArrived(bytes.subarray(0, end));
  }

  written(): void {
    this.writes++;
  }

  ended(): void {
    this.ends++;
  }
}

/** A client, and the server's received bytes. */
interface Pair extends AsyncDisposable {
  readonly conn: Deno.Conn;
  readonly received: Received;
}

async function connect(tls: TlsPair | undefined): Promise<Pair> {
  const { promise, resolve } = Promise.withResolvers<Received>();
  const over = Promise.withResolvers<void>();
  const listener = await listenBare({
    host: HOST,
    port: 0,
    tls,
    limits: LIMITS,
    onGone() {},
    handler(request) {
      const upgrade = takeBareUpgrade(request)!;
      upgrade.take(new TextEncoder().encode("HTTP/1.1 101 Switching Protocols\r\n\r\n"), {
        run(stream, early, onOver) {
          const received = new Received(stream);
          stream.flow(received, early);
          resolve(received);
          void over.promise.then(onOver);
        },
        lost() {},
      });
      return upgrade.response;
    },
  });
  const { port } = listener;
  const tcp = await Deno.connect({ hostname: HOST, port });
  const conn = tls === undefined
    ? tcp
    : await Deno.startTls(tcp, { hostname: HOST, caCerts: [tls.cert] });
  await conn.write(new TextEncoder().encode(UPGRADE));
  await conn.read(new Uint8Array(100));
  const received = await promise;
  return {
    conn,
    received,
    async [Symbol.asyncDispose]() {
      received.stream.close();
      over.resolve();
      try {
        conn.close();
      } catch {
        // The test has closed it.
      }
      await listener.shutdown();
    },
  };
}

/** Runs the test over TCP and over TLS. */
function test(name: string, run: (pair: Pair) => Promise<void>): void {
  for (const tls of [undefined, TLS]) {
    Deno.test(tls === undefined ? name : `${name} (TLS)`, async () => {
      await using pair = await connect(tls);
      await run(pair);
    });
  }
}

async function readAll(conn: Deno.Conn, count: number): Promise<Uint8Array> {
  const all = new Uint8Array(count);
  for (let at = 0; at < count;) {
    const more = await conn.read(all.subarray(at));
    assert(more !== null, `the end after ${at} bytes`);
    at += more;
  }
  return all;
}

test("nothing is read while it pauses, and everything later, in order", async ({ conn, received }) => {
  const CHUNK = new Uint8Array(65_536);
  let order = 0;
  received.onArrived = (bytes) => {
    for (const byte of bytes) assert.equal(byte, order++ % 251);
  };
  received.stream.pause();
  let sent = 0;
  let done = false;
  const sending = (async () => {
    // More than both systems buffer for one connection.
    for (let left = 40_000_000; left > 0;) {
      for (let at = 0; at < CHUNK.length; at++) CHUNK[at] = (sent + at) % 251;
      const count = await conn.write(CHUNK);
      sent += count;
      left -= count;
    }
    done = true;
  })();
  await standsStill(() => sent);
  assert.equal(done, false);
  assert.equal(received.bytes, 0);
  received.stream.resume();
  await sending;
  await until("all bytes", () => received.bytes === sent);
});

test("a long write is reported once the peer has read it, a short one may be accepted at once", async ({ conn, received }) => {
  const long = new Uint8Array(20_000_000);
  for (let at = 0; at < long.length; at++) long[at] = at % 253;
  assert.equal(received.stream.send(long), false);
  assert.equal(received.writes, 0);
  assert.deepEqual(await readAll(conn, long.length), long);
  await until("it is notified", () => received.writes === 1);
  const taken = received.stream.send(new Uint8Array([7]));
  assert.deepEqual(await readAll(conn, 1), new Uint8Array([7]));
  await until("it is notified", () => received.writes === (taken ? 1 : 2));
});

test("the peer's end is reported once, also during a pause", async ({ conn, received }) => {
  received.stream.pause();
  await conn.write(new Uint8Array(10));
  await conn.closeWrite();
  assert.equal(received.ends, 0);
  received.stream.resume();
  await until("the end", () => received.ends === 1);
  assert.equal(received.bytes, 10);
});

test("a throwing sink only ends its own connection", async ({ conn, received }) => {
  received.onArrived = () => {
    throw new Error("a bug");
  };
  await conn.write(new Uint8Array(1));
  await until("the end", () => received.ends === 1);
  assert.equal(await conn.read(new Uint8Array(1)).catch(() => null), null);
});

test("after a local close nothing is reported", async ({ conn, received }) => {
  assert.equal(received.stream.send(new Uint8Array(20_000_000)), false);
  received.stream.close();
  let count = 0 as number | null;
  let bytes = 0;
  const into = new Uint8Array(65_536);
  while ((count = await conn.read(into).catch(() => null)) !== null) bytes += count;
  assert(bytes < 20_000_000);
  assert.deepEqual([received.bytes, received.writes, received.ends], [0, 0, 0]);
});
