/**
 * A program that connects to a bus at a constant rate, each time with TCP, TLS, upgrade and WELCOME, and
 * leaves again. Its argument is a plan as JSON; it prints the result as JSON. `sockets_tls.ts` starts it.
 */
import { percentile } from "../measure/open_loop.ts";
import { attempt, quietly } from "../storm/storm_handshake.ts";
import type { Door } from "../storm/storm_handshake.ts";

/** The plan of the handshakes. */
export interface HandshakePlan {
  readonly door: Door;
  readonly token: string;
  /** Attempts per second. */
  readonly rate: number;
  readonly seconds: number;
}

/** The times of the handshakes. */
export interface HandshakeReport {
  readonly p50_ms: number;
  readonly p99_ms: number;
  readonly open: number;
  /** Number of attempts that were refused or failed. */
  readonly failed: number;
}

/** Time in ms that counts for a failed attempt, and the longest that an attempt may take. */
const FAILED_MS = 10_000;

async function run({ door, token, rate, seconds }: HandshakePlan): Promise<HandshakeReport> {
  const took_ms: number[] = [];
  let failed = 0;
  const attempts: Promise<void>[] = [];
  const began_ms = performance.now();
  const one = async (due_ms: number) => {
    // Each attempt counts from when it should have begun, so that a late timer hides no wait.
    const late_ms = performance.now() - due_ms;
    const result = await attempt(door, token);
    if (result.kind !== "open") {
      failed++;
      return void took_ms.push(FAILED_MS);
    }
    took_ms.push(late_ms + result.handshake_ms);
    quietly(() => result.connection.close());
  };
  for (let made = 0; made < rate * seconds;) {
    const due = Math.min(rate * seconds, Math.floor((performance.now() - began_ms) * rate / 1_000));
    for (; made < due; made++) attempts.push(one(began_ms + made * 1_000 / rate));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(attempts);
  const sorted = took_ms.toSorted((a, b) => a - b);
  return {
    ...{ p50_ms: percentile(sorted, 0.5), p99_ms: percentile(sorted, 0.99) },
    ...{ open: sorted.length - failed, failed },
  };
}

if (import.meta.main) {
  console.log(JSON.stringify(await run(JSON.parse(Deno.args[0] ?? ""))));
  Deno.exit(0);
}
