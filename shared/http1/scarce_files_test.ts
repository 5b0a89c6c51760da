/**
 * A listener that leaves descriptors to others when they are scarce: real connections, and a count of descriptors set
 * by the test. `tests/files_out_test.ts` is a process without descriptors.
 */
import assert from "node:assert/strict";
import { testCertificate } from "../listeners/testing/certificate.ts";
import { until } from "../testing/until.ts";
import { FileReserve } from "./file_reserve.ts";
import { type BareListenOptions, listenBare } from "./listener.ts";

const HOST = "127.0.0.1";
const TLS = await testCertificate();
const LIMIT = 1_000;
const RESERVED = 100;
/** Open descriptors at which few, only reserved ones, or none are left for a client. */
const LITTLE = 880;
const SPARE = 910;
const NONE = 940;
const ms = 60_000;
const LIMITS = {
  strangers: 100,
  strangers_per_address: 100,
  descriptors: 1_000,
  reserved: RESERVED,
  head_ms: ms,
  body_ms: ms,
  idle_ms: ms,
  answer_ms: ms,
};

type Kind = Pick<BareListenOptions, "tls" | "http" | "handler">;

async function serve(kind: Partial<Kind>) {
  const table = {
    used: 40,
    open() {
      if (table.used === LIMIT) throw Object.assign(new Error("no file"), { code: "EMFILE" });
      return table.used++;
    },
    close: () => void table.used--,
  };
  const listener = await listenBare({
    host: HOST,
    port: 0,
    limits: LIMITS,
    reserve: new FileReserve(RESERVED, table),
    handler: () => new Response("served"),
    turnAway: () => new Response("turned away", { status: 503 }),
    onGone() {},
    ...kind,
  });
  const where = { hostname: HOST, port: listener.port, caCerts: [TLS.cert] };
  return {
    table,
    listener,
    connect: (): Promise<Deno.Conn> =>
      kind.tls === undefined ? Deno.connect(where) : Deno.connectTls(where),
    async [Symbol.asyncDispose]() {
      const ended = listener.shutdown();
      listener.abandon();
      await ended;
    },
  };
}

const send = (conn: Deno.Conn, path = "/") =>
  conn.write(new TextEncoder().encode(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`));

/** The bytes until the connection ends, or until `enough` has come. */
async function read(conn: Deno.Conn, enough?: string): Promise<string> {
  let text = "";
  const buffer = new Uint8Array(65_536);
  while (enough === undefined || !text.includes(enough)) {
    const count = await conn.read(buffer).catch(() => null);
    if (count === null) break;
    text += new TextDecoder().decode(buffer.subarray(0, count));
  }
  return text;
}

const KINDS: Readonly<Record<string, Partial<Kind>>> = {
  own: {},
  "own, TLS": { tls: TLS },
  runtime: { http: "runtime" },
  "runtime, TLS": { http: "runtime", tls: TLS },
};

for (const [name, kind] of Object.entries(KINDS)) {
  Deno.test(`a client for which only a reserved file is left is answered so, and its connection ends (${name})`, async () => {
    await using served = await serve(kind);
    served.table.used = SPARE;
    using away = await served.connect();
    await send(away);
    assert.match(await read(away), /^HTTP\/1\.1 503 [^]*connection: close[^]*turned away$/);
    served.table.used = LITTLE;
    using welcome = await served.connect();
    await send(welcome);
    assert.match(await read(welcome, "served"), /^HTTP\/1\.1 200 /);
    await until("the one is left", () => served.listener.stats.open === 1);
  });

  Deno.test(`an answer under way is sent whole before its connection ends (${name})`, async () => {
    const { promise: answer, resolve } = Promise.withResolvers<Response>();
    const asked = Promise.withResolvers<void>();
    await using served = await serve({ ...kind, handler: () => (asked.resolve(), answer) });
    using asking = await served.connect();
    await send(asking);
    await asked.promise;
    const ended = served.listener.shutdown();
    resolve(new Response("late"));
    assert.match(await read(asking), /^HTTP\/1\.1 200 [^]*connection: close[^]*late$/);
    await ended;
  });
}

for (const name of ["own", "own, TLS"]) {
  Deno.test(`an older stranger gives its file to a newcomer, one that waits for us does not (${name})`, async () => {
    const { promise: answer, resolve } = Promise.withResolvers<Response>();
    let requests = 0;
    await using served = await serve({
      ...KINDS[name],
      handler(request) {
        if (!request.url.endsWith("/wait")) return new Response("served");
        requests++;
        return answer;
      },
    });
    using silent = await served.connect();
    using waiting = await served.connect();
    await send(waiting, "/wait");
    await until("it waits", () => requests === 1);
    served.table.used = SPARE;
    using newcomer = await served.connect();
    await send(newcomer);
    assert.match(await read(newcomer, "served"), /^HTTP\/1\.1 200 /);
    assert.equal(await read(silent), "");
    served.table.used = NONE;
    using late = await served.connect();
    await send(late).catch(() => {});
    assert.equal(await read(late), "");
    assert.equal(served.listener.stats.refused, 1);
    assert.equal(served.listener.stats.evicted.total, 1);
    resolve(new Response("done"));
    assert.match(await read(waiting, "done"), /^HTTP\/1\.1 200 /);
  });
}
