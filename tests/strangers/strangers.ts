/**
 * Silent connections, many more than the system has file descriptors for, beside an active client: what the client
 * notices, whether a new one is admitted, and what operators' ports report. `tests/strangers_test.ts` has the numbers.
 */
import assert from "node:assert/strict";
import type { TlsPair } from "../../shared/http1/door.ts";
import { until } from "../../shared/testing/until.ts";
import { startBusWith, withFiles } from "../harness/bus.ts";
import { ask, RawClient } from "../peers/raw_client.ts";

/** The connections and the bus. */
export interface StrangersOptions {
  readonly websocket: "native" | "own";
  /** Lines of `[limits]`. */
  readonly limits: string;
  /** The bus's limit of open files: `ulimit -n`. */
  readonly files: number;
  readonly strangers: number;
  /** Silent connections that are open at a time at their end; older ones are closed. */
  readonly at_once: number;
  /** Absent: plain TCP. */
  readonly tls?: TlsPair;
  /**
   * They disconnect once files have run out, before the new client connects: for sockets where nobody else can end
   * them.
   */
  readonly leave?: boolean;
}

/** The observations. */
export interface StrangersReport {
  /** Answered messages of the client while the silent ones connected. */
  readonly echoes: number;
  /** The longest round trip, in ms. */
  readonly worst_ms: number;
  /** A new client's time until WELCOME, while the last silent connections are open; in ms. */
  readonly late_ms: number;
  /** The metrics page of the bus at the end. */
  readonly metrics: string;
  readonly log: string;
}

/** The bus's log line when it has no file for a connection. */
export const OUT_OF_FILES = /no connection can be accepted/;

/** How many silent connections are opened between two messages of the client. */
const BETWEEN = 100;

const connectTo = (url: string) => {
  const { hostname, port } = new URL(url);
  return Deno.connect({ hostname, port: Number(port) });
};

/** Runs it; rejects with an AssertionError if any client is affected. */
export async function runStrangers(options: StrangersOptions): Promise<StrangersReport> {
  const { websocket, limits, files, strangers: count, at_once, tls } = options;
  const dir = await Deno.makeTempDir();
  let config = `[limits]\n${limits}\n[server]\nwebsocket = "${websocket}"\n`;
  if (tls !== undefined) {
    await Deno.writeTextFile(`${dir}/cert.pem`, tls.cert);
    await Deno.writeTextFile(`${dir}/key.pem`, tls.key);
    config += `tls_cert = "${dir}/cert.pem"\ntls_key = "${dir}/key.pem"\n`;
  }
  using trusting = Deno.createHttpClient(tls === undefined ? {} : { caCerts: [tls.cert] });
  await using bus = await startBusWith(config, withFiles(files));
  const offer = { token: bus.token, subprotocols: ["arqon.v1.json"], client: trusting };
  using client = new RawClient(bus.url, offer);
  await client.json();
  await ask(client, { op: "sub", room: "lobby" });
  const strangers: Deno.TcpConn[] = [];
  let echoes = 0;
  let worst_ms = 0;
  const talk = async () => {
    const asked_ms = performance.now();
    client.send({ op: "pub", room: "lobby", type: "chat", data: { echoes } });
    const message = await client.json();
    assert.deepEqual(message.op === "msg" && message.data, { echoes });
    worst_ms = Math.max(worst_ms, performance.now() - asked_ms);
    echoes++;
  };
  try {
    for (let came = 0; came < count; came++) {
      strangers.push(
        await connectTo(came % 3 < 2 ? bus.url : came % 2 ? bus.ops_url : bus.admin_url),
      );
      if (strangers.length > at_once) strangers.shift()?.close();
      if (came % BETWEEN === 0) await talk();
    }
    if (options.leave === true) {
      // A connection that the bus has not accepted yet uses none of its files.
      await until("the bus is out of files", () => OUT_OF_FILES.test(bus.log()));
      for (const stranger of strangers.splice(0)) stranger.close();
    }
    const late_ms = await timeOf(async () => {
      using late = new RawClient(bus.url, offer);
      assert.equal((await late.json()).op, "welcome");
    });
    await until("it is ready", async () => await statusOf(`${bus.ops_url}/health/ready`) === 200);
    assert.equal(await statusOf(`${bus.admin_url}/v1/status`), 401);
    for (const stranger of strangers.splice(0)) stranger.close();
    await talk();
    const metrics = await (await fetch(`${bus.ops_url}/metrics`)).text();
    assert.doesNotMatch(bus.log(), /unhandled|uncaught|panic/);
    return { echoes, worst_ms, late_ms, metrics, log: bus.log() };
  } catch (error) {
    throw new Error(`${error}\nthe bus says:\n${bus.log().slice(-4_000)}`, { cause: error });
  } finally {
    for (const stranger of strangers) stranger.close();
    await Deno.remove(dir, { recursive: true });
  }
}

async function timeOf(work: () => Promise<void>): Promise<number> {
  const begun_ms = performance.now();
  await work();
  return performance.now() - begun_ms;
}

async function statusOf(url: string): Promise<number> {
  const response = await fetch(url, { headers: { connection: "close" } });
  await response.body?.cancel();
  return response.status;
}

/** A sample of a page of metrics; NaN if it is missing. */
export function sample(metrics: string, name: string): number {
  const line = metrics.split("\n").find((line) => line.startsWith(`${name} `));
  return Number(line?.slice(name.length + 1));
}
