/**
 * `deno task strangers`: connections that say nothing come in turns, many more than the bus may open
 * files for. Says what a client noticed; exits 1 when anybody was hurt. What is done is
 * `strangers.ts`.
 */
import { parseArgs } from "node:util";
import { testCertificate } from "../../shared/listeners/testing/certificate.ts";
import { runStrangers, sample } from "./strangers.ts";

const USAGE = "Usage: deno task strangers [--websocket own|native|ws] [--tls] [--unbounded] " +
  "[--strangers 100000] [--at-once 5000] [--files 2000]";
/** A new client gets in within so long. */
const LATE_MS_MAX = 1_000;

function stop(code: number, text: string): never {
  console.error(text);
  Deno.exit(code);
}

function options() {
  const text = { type: "string" } as const;
  try {
    return parseArgs({
      args: Deno.args,
      options: {
        websocket: { ...text, default: "own" },
        tls: { type: "boolean", default: false },
        unbounded: { type: "boolean", default: false },
        strangers: { ...text, default: "100000" },
        "at-once": { ...text, default: "5000" },
        files: { ...text, default: "2000" },
      },
    }).values;
  } catch (error) {
    stop(2, `${error instanceof Error ? error.message : error}\n${USAGE}`);
  }
}

function count(name: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  stop(2, `--${name} ${text}: expected a number of at least 1\n${USAGE}`);
}

const { websocket, tls, unbounded, strangers, "at-once": at_once, files } = options();
if (websocket !== "own" && websocket !== "native" && websocket !== "ws") {
  stop(2, `--websocket ${websocket}: expected own, native or ws\n${USAGE}`);
}
if (tls && websocket === "native") stop(2, "native sockets with TLS bound no strangers");
try {
  const report = await runStrangers({
    websocket,
    // Those of the default, or none: then files run out.
    limits: unbounded ? "strangers = 100000\nstrangers_per_address = 100000" : "",
    files: count("files", files),
    strangers: count("strangers", strangers),
    at_once: count("at-once", at_once),
    ...(tls ? { tls: await testCertificate() } : {}),
  });
  const { heard, worst_ms, late_ms, metrics } = report;
  console.log(JSON.stringify({
    websocket,
    tls,
    unbounded,
    strangers: count("strangers", strangers),
    messages: heard,
    worst_ms: Math.ceil(worst_ms),
    new_client_ms: Math.ceil(late_ms),
    ended_by_address: sample(metrics, 'shield_strangers_ended_total{bound="address"}'),
    ended_by_total: sample(metrics, 'shield_strangers_ended_total{bound="total"}'),
    accept_failures: sample(metrics, "shield_accept_failures_total"),
  }));
  if (late_ms > LATE_MS_MAX) stop(1, `a new client got in after ${Math.ceil(late_ms)} ms`);
} catch (error) {
  stop(1, error instanceof Error ? error.message : String(error));
}
