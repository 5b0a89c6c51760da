/**
 * More clients with valid tokens than a bus may open files for, which keep retrying: operators get every answer,
 * connected clients stay, and each rejected one gets the reason, and is admitted once others leave.
 */
import assert from "node:assert/strict";
import { testCertificate } from "../shared/listeners/testing/certificate.ts";
import type { TlsPair } from "../shared/http1/door.ts";
import { pace } from "../shared/testing/pace.ts";
import { until } from "../shared/testing/until.ts";
import { must } from "../tasks/checkout/programs.ts";
import { startBusWith, type TestBus, withFiles } from "./harness/bus.ts";
import { ask, RawClient } from "./peers/raw_client.ts";
import { sample } from "./strangers/strangers.ts";

/** Without an answer of its own port for this long, the bus would give it up. */
const GONE_MS = 2_000;
const LIMITS =
  `#constant limits.listener_probe_ms = 500\n#constant limits.listener_gone_ms = ${GONE_MS}\n` +
  "connections_per_user = 100000\n#constant limits.strangers_per_address = 100000\n";
/**
 * The crowd answers no PING: none is due while the test runs, or a bus on a slow machine would disconnect admitted
 * clients.
 */
const HEARTBEAT = "heartbeat_ms = 600_000\n";
/** Number of clients above the number of files. */
const MORE = 200;
/** As in the answer, and as in every SDK. */
const RETRY_MS = 1_000;
const ANSWER_MS = 20_000;
const JSON_FRAMES = "arqon.v1.json";

/** Clients that retry until they are admitted, as an SDK does. */
class Crowd implements Disposable {
  /** The connections of admitted clients. */
  readonly inside = new Set<Deno.Conn>();
  /** Number of admissions. */
  entered = 0;
  /** The number of answers that there is no room. */
  refused = 0;
  #waits = true;
  readonly #connect: () => Promise<Deno.Conn>;
  readonly #request: Uint8Array<ArrayBuffer>;

  constructor({ url, token }: TestBus, tls: TlsPair | undefined) {
    const { hostname, port, pathname } = new URL(url);
    const where = { hostname, port: Number(port) };
    this.#connect = () =>
      tls === undefined ? Deno.connect(where) : Deno.connectTls({ ...where, caCerts: [tls.cert] });
    this.#request = new TextEncoder().encode(
      `GET ${pathname} HTTP/1.1\r\nHost: bus\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
        `Sec-WebSocket-Protocol: ${JSON_FRAMES}, arqon.token.${token}\r\n\r\n`,
    );
  }

  async come(): Promise<void> {
    while (this.#waits) {
      if (await this.#tries()) return;
      await pace(RETRY_MS);
    }
  }

  leave(count: number): void {
    for (const conn of [...this.inside].slice(0, count)) {
      this.inside.delete(conn);
      conn.close();
    }
  }

  [Symbol.dispose](): void {
    this.#waits = false;
    this.leave(Infinity);
  }

  /** True when it was admitted and has left again. */
  async #tries(): Promise<boolean> {
    const buffer = new Uint8Array(65_536);
    let conn: Deno.Conn | undefined;
    let is_in = false;
    try {
      conn = await this.#connect();
      await conn.write(this.#request);
      const text = new TextDecoder().decode(buffer.subarray(0, await conn.read(buffer) ?? 0));
      is_in = text.startsWith("HTTP/1.1 101 ");
      if (text.includes('"at-capacity"')) this.refused++;
      if (!is_in) return false;
      this.entered++;
      this.inside.add(conn);
      while (await conn.read(buffer) !== null);
    } catch {
      // It was disconnected, or has left.
    } finally {
      if (conn !== undefined && (!is_in || this.inside.delete(conn))) conn.close();
    }
    return is_in;
  }
}

type ClientOption = { readonly client?: Deno.HttpClient };

/** Answers of the operators' ports: on a kept connection, and on a new one. */
async function askOperators(bus: TestBus, scraper: Deno.HttpClient): Promise<string> {
  const ask = async (url: string, wanted: number, options: RequestInit & ClientOption) => {
    const response = await fetch(url, { ...options, signal: AbortSignal.timeout(ANSWER_MS) });
    const text = await response.text();
    assert.equal(response.status, wanted, `${url}: ${text}`);
    return text;
  };
  const newly = { headers: { connection: "close" } };
  await ask(`${bus.ops_url}/health/live`, 200, newly);
  await ask(`${bus.ops_url}/health/ready`, 200, newly);
  await ask(`${bus.admin_url}/v1/status`, 401, newly);
  await ask(`${bus.ops_url}/metrics`, 200, newly);
  return await ask(`${bus.ops_url}/metrics`, 200, { client: scraper });
}

/** Two clients that connected earlier; `talk` passes a message from one to the other. */
async function pairOf(bus: TestBus, trusting: Deno.HttpClient) {
  const offer = { token: bus.token, subprotocols: [JSON_FRAMES], client: trusting };
  const receiver = new RawClient(bus.url, offer);
  const speaker = new RawClient(bus.url, offer);
  await Promise.all([receiver.json(), speaker.json()]);
  await ask(receiver, { op: "sub", room: "lobby" });
  let n = 0;
  const talk = async () => {
    speaker.send({ op: "pub", room: "lobby", type: "chat", data: { n: ++n } });
    const message = await receiver.json();
    assert.deepEqual(message.data, { n }, JSON.stringify(message));
  };
  return { talk, close: () => [receiver, speaker].forEach((one) => one[Symbol.dispose]()) };
}

/** The open files of the bus: its process is the one whose announcement has its address. */
async function filesOf({ url }: TestBus): Promise<number> {
  const script = `pid=$(grep -l '"${url}"' .arqon/dev/*.json | sed 's|.*/||; s|[.]json||')
ls /proc/$pid/fd | wc -l`;
  return Number((await must("sh", ["-c", script])).stdout);
}

/** The listeners that run out of files. */
interface Trial {
  readonly websocket: "own" | "native";
  readonly files: number;
  readonly tls: TlsPair | undefined;
}

async function runOut(bus: TestBus, { websocket, files, tls }: Trial): Promise<void> {
  using trusting = Deno.createHttpClient(tls === undefined ? {} : { caCerts: [tls.cert] });
  using scraper = Deno.createHttpClient({});
  const pair = await pairOf(bus, trusting);
  using crowd = new Crowd(bus, tls);
  const all = Array.from({ length: files + MORE }, () => crowd.come());
  await until("it is full", () => crowd.inside.size > files / 3 && crowd.refused > 0);
  const full = crowd.inside.size;
  const full_ms = performance.now();
  // A bus that believes its port is lost would give up within this time.
  while (performance.now() < full_ms + 2 * GONE_MS) {
    const metrics = await askOperators(bus, scraper);
    await pair.talk();
    assert.equal(sample(metrics, "shield_listener_reopened_total"), 0);
    let open = 0;
    // Our own listener accepts all sockets at once, and then ends them.
    await until(() => `${open} files are open`, async () => {
      open = await filesOf(bus);
      return open < files - 100 || websocket === "native" && assert.fail(`${open} files are open`);
    });
    assert(open > files / 4, `${open} files are open`);
  }
  assert(crowd.inside.size >= full && crowd.entered === crowd.inside.size, "who is in stays");
  const who = () => `${crowd.entered} of ${all.length} have been in, ${crowd.inside.size} are`;
  await until(who, () => {
    crowd.leave(crowd.inside.size / 2);
    return crowd.entered === all.length;
  });
  await pair.talk();
  await askOperators(bus, scraper);
  crowd[Symbol.dispose]();
  await Promise.all(all);
  await until("a new client gets in", async () => {
    using late = new RawClient(bus.url, {
      token: bus.token,
      subprotocols: [JSON_FRAMES],
      client: trusting,
    });
    return await late.json().then(({ op }) => op === "welcome", () => false);
  });
  pair.close();
}

for (const websocket of ["own", "native"] as const) {
  for (
    const [files, secure] of [[400, false], [1_000, false], [2_000, false], [400, true]] as const
  ) {
    Deno.test(`out of ${files} files nobody is cut off (${websocket}${secure ? ", TLS" : ""})`, async () => {
      const dir = await Deno.makeTempDir();
      const tls = secure ? await testCertificate() : undefined;
      let server = `websocket = "${websocket}"\n${HEARTBEAT}`;
      if (tls !== undefined) {
        await Deno.writeTextFile(`${dir}/cert.pem`, tls.cert);
        await Deno.writeTextFile(`${dir}/key.pem`, tls.key);
        server += `tls_cert = "${dir}/cert.pem"\ntls_key = "${dir}/key.pem"\n`;
      }
      await using bus = await startBusWith(
        `[limits]\n${LIMITS}[server]\n${server}`,
        withFiles(files),
      );
      try {
        await runOut(bus, { websocket, files, tls });
        assert.doesNotMatch(bus.log(), /does not answer|draining|unhandled|uncaught|panic/);
      } catch (error) {
        throw new Error(`${error}\nthe bus says:\n${bus.log().slice(-4_000)}`, { cause: error });
      } finally {
        await Deno.remove(dir, { recursive: true });
      }
    });
  }
}
