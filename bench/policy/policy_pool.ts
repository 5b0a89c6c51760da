/**
 * A program that measures the Overseer alone, as it stands in a Shield: chain lookup, request, ring,
 * worker, verdict. No sockets and no Spine. Prints one JSON line; `policy_overhead.ts` starts it.
 *
 * Its own messages are its clock's: each has a time at which it is due, and latency counts from
 * there, so that a stall cannot hide what queued behind it.
 */
import { scanEnvelope, writeEnvelope } from "@arqon/proto";
import type { ScannedEnvelope } from "@arqon/proto";
import { parseConfig } from "../../shared/config/load.ts";
import { createLogger } from "../../shared/logs/log.ts";
import { Registry } from "../../shared/metrics/metrics.ts";
import { meterPolicy } from "../../shield/policy/abi/abi_check.ts";
import { createOverseer } from "../../shield/policy/overseer.ts";
import type { Overseer } from "../../shield/policy/overseer.ts";
import type { Caller } from "../../shield/message/caller.ts";
import { createPolicyPool } from "../../shield/policy/pool/pool.ts";
import type { PolicyPool } from "../../shield/policy/pool/pool.ts";
import type { PolicyBinding } from "../../shield/policy/abi/policy.ts";
import { percentile } from "../measure/statistics.ts";
import { DUE, type PacerPlan } from "../measure/pacer.ts";
import { answer } from "../measure/program.ts";
import {
  chatPayload,
  CONNECTIONS,
  type OverheadRow,
  RATES,
  readModules,
  ROWS,
} from "./policy_rows.ts";

/** The plan of the program, which is its only argument, as JSON. */
export interface PoolPlan {
  readonly rounds: number;
  readonly seconds: number;
}

/** The figures of one row in one round. */
export interface PoolRound {
  readonly row: string;
  readonly rate: number;
  readonly sent: number;
  readonly refused: number;
  /** Times from when the message was due to the verdict. */
  readonly p50_us: number;
  readonly p99_us: number;
  /** Times from asking for the verdict to having it. */
  readonly asked_p50_us: number;
  readonly asked_p99_us: number;
}

interface Bench {
  readonly pool: PolicyPool;
  readonly overseer: Overseer;
  readonly pacer: Worker;
  readonly callers: readonly Caller[];
  /** The chain in force, which changes between rounds. */
  readonly chains: Map<string, readonly PolicyBinding[]>;
  row: OverheadRow;
}

function bindings(chain: readonly string[]): PolicyBinding[] {
  return chain.map((name, order) => ({
    name,
    sha256: name,
    room: "*",
    hooks: ["on_message"],
    order,
    mode: "enforce",
    percent: 1,
  }));
}

const log = createLogger({
  level: "error",
  format: "logfmt",
  component: "bench",
  now: Date.now,
  write: (line) => console.error(line),
});

function caller(index: number): Caller {
  return {
    identity: {
      tenant_id: "default",
      user_id: `user-${index}`,
      claims: { sub: `user-${index}`, tenant_id: "default", role: "user" },
    } as unknown as Caller["identity"],
    connection_id: `connection-${index}`,
    request_headers: [["user-agent", "bench"], ["host", "127.0.0.1"]],
    remote_ip: "127.0.0.1",
  };
}

async function start(): Promise<Bench> {
  const config = parseConfig("[policy]\nfuel_per_second = 1_000_000_000_000\n", { file: "bench" });
  const pool = await createPolicyPool({
    policy: config.policy,
    overseer: config.platform.overseer,
    cores: navigator.hardwareConcurrency,
    registry: new Registry(),
    log,
    now: () => performance.now(),
    onFatal: (detail) => {
      throw new Error(detail);
    },
  });
  const { memory_limit_pages } = config.platform.overseer;
  for (const [name, bytes] of await readModules()) {
    const { bytes: metered, cost } = meterPolicy(bytes, { memory_limit_pages });
    await pool.load(name, { bytes: metered, instance_fuel: cost.instance_fuel });
  }
  const chains = new Map(ROWS.map(({ name, chain }) => [name, bindings(chain)]));
  const bench: Bench = {
    pool,
    chains,
    callers: Array.from({ length: CONNECTIONS }, (_, index) => caller(index)),
    pacer: new Worker(new URL("../measure/pacer.ts", import.meta.url), { type: "module" }),
    row: ROWS[0]!,
    overseer: createOverseer({
      chainFor: () => bench.chains.get(bench.row.name) ?? [],
      evaluate: (request) => pool.evaluate(request),
      limits: { ...LIMITS, max_frame_bytes: 262_144, payload_bytes: 262_144 },
      now: Date.now,
      onLogs: () => {},
    }),
  };
  return bench;
}

const LIMITS = { headers: 64, header_bytes: 8_192, field_bytes: 256 };

function envelope(payload_bytes: number): ScannedEnvelope {
  const data = chatPayload(payload_bytes);
  const event = { type: "chat", data, content_type: "application/json", schema_id: "" };
  return scanEnvelope(writeEnvelope({ room_id: "bench", event }), LIMITS);
}

/** Sends `total` messages when the pacer says so. Resolves with the due time of each. */
async function load(
  bench: Bench,
  plan: { rate: number; total: number },
  onDue: (index: number, due_ms: number) => void,
): Promise<void> {
  const words = new Int32Array(new SharedArrayBuffer(8));
  const start_ms = performance.now() + 20;
  const message: PacerPlan = {
    control: words.buffer,
    ...plan,
    start_ms: performance.timeOrigin + start_ms,
  };
  bench.pacer.postMessage(message);
  for (let sent = 0; sent < plan.total;) {
    const due = Atomics.load(words, DUE);
    for (; sent < due; sent++) onDue(sent, start_ms + sent * 1_000 / plan.rate);
    if (sent >= plan.total) return;
    const wait = Atomics.waitAsync(words, DUE, due);
    if (wait.async) await wait.value;
  }
}

async function round(bench: Bench, row: OverheadRow, rate: number, seconds: number) {
  bench.row = row;
  const skipped = Math.ceil(rate / 4);
  const total = skipped + rate * seconds;
  const from_due = new Float64Array(total);
  const from_asked = new Float64Array(total);
  const scanned = envelope(row.payload_bytes);
  let refused = 0;
  let open = total;
  const { promise: settled, resolve } = Promise.withResolvers<void>();
  const done = (index: number, due_ms: number, asked_ms: number) => {
    const now_ms = performance.now();
    from_due[index] = now_ms - due_ms;
    from_asked[index] = now_ms - asked_ms;
    if (--open === 0) resolve();
  };
  await load(bench, { rate, total }, (index, due_ms) => {
    const asked_ms = performance.now();
    const verdict = bench.overseer.onMessage(bench.callers[index % CONNECTIONS]!, scanned);
    if (verdict === undefined) return done(index, due_ms, asked_ms);
    Promise.resolve(verdict).then(() => done(index, due_ms, asked_ms), () => {
      refused++;
      done(index, due_ms, asked_ms);
    });
  });
  await settled;
  const due = from_due.subarray(skipped).sort();
  const asked = from_asked.subarray(skipped).sort();
  const us = (sorted: Float64Array, fraction: number) => percentile(sorted, fraction) * 1_000;
  const result: PoolRound = {
    row: row.name,
    rate,
    sent: total - skipped,
    refused,
    p50_us: us(due, 0.5),
    p99_us: us(due, 0.99),
    asked_p50_us: us(asked, 0.5),
    asked_p99_us: us(asked, 0.99),
  };
  return result;
}

async function measure({ rounds, seconds }: PoolPlan): Promise<PoolRound[]> {
  const bench = await start();
  const results: PoolRound[] = [];
  // The optimising compiler must have seen every row before anything counts.
  for (const row of ROWS) await round(bench, row, 2_000, 1);
  for (let count = 0; count < rounds; count++) {
    for (const rate of RATES) {
      for (const row of ROWS) results.push(await round(bench, row, rate, seconds));
    }
  }
  await bench.pool.close();
  return results;
}

if (import.meta.main) await answer(measure);
