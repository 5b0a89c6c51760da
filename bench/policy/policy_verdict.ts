/**
 * How long a message waits for its verdict: the Overseer alone, as it is in a Shield (chain lookup, request,
 * ring, worker, verdict), without sockets and Spine, in a process of its own.
 */
import { scanEnvelope, writeEnvelope } from "@arqon/proto";
import type { ScannedEnvelope } from "@arqon/proto";
import { parseConfig } from "../../shared/config/load.ts";
import { createLogger } from "../../shared/logs/log.ts";
import { Registry } from "../../shared/metrics/metrics.ts";
import { meterPolicy } from "../../shield/policy/abi/abi_check.ts";
import { createOverseer } from "../../shield/policy/overseer.ts";
import type { Caller } from "../../shield/message/caller.ts";
import { createPolicyPool } from "../../shield/policy/pool/pool.ts";
import type { PolicyPool } from "../../shield/policy/pool/pool.ts";
import type { PolicyBinding } from "../../shield/message/verdict.ts";
import { medianOf, percentile, sumOf } from "../measure/statistics.ts";
import { DUE, type PacerPlan } from "../measure/pacer.ts";
import { answer, measuredBy } from "../measure/program.ts";
import { renderTable } from "../measure/table.ts";
import {
  chatPayload,
  CONNECTIONS,
  type OverheadRow,
  RATES,
  readModules,
  ROWS,
} from "./policy_rows.ts";
import type { Policies } from "../../shield/message/gates.ts";

interface Plan {
  readonly rounds: number;
  readonly seconds: number;
}

/** The figures of one row in one round: times from asking for a verdict to having it. */
interface Round {
  readonly row: string;
  readonly rate: number;
  readonly sent: number;
  readonly refused: number;
  readonly p50_us: number;
  readonly p99_us: number;
}

/** The medians of the rounds of one row at one rate. */
export interface VerdictResult extends Round {
  /** The p99 of the round that was disturbed least. */
  readonly least_p99_us: number;
}

interface Bench {
  readonly pool: PolicyPool;
  readonly overseer: Policies;
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
  const chains = new Map(JUDGED.map(({ name, chain }) => [name, bindings(chain)]));
  const bench: Bench = {
    pool,
    chains,
    callers: Array.from({ length: CONNECTIONS }, (_, index) => caller(index)),
    pacer: new Worker(new URL("../measure/pacer.ts", import.meta.url), { type: "module" }),
    row: JUDGED[0]!,
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

/** The rows with a policy. */
const JUDGED = ROWS.filter(({ chain }) => chain.length > 0);
const LIMITS = { headers: 64, header_bytes: 8_192, field_bytes: 256 };

function envelope(payload_bytes: number): ScannedEnvelope {
  const data = chatPayload(payload_bytes);
  const event = { type: "chat", data, content_type: "application/json", schema_id: "" };
  return scanEnvelope(writeEnvelope({ room_id: "bench", event }), LIMITS);
}

/** Sends `total` messages when the pacer says so. */
async function load(
  bench: Bench,
  plan: { rate: number; total: number },
  onDue: (index: number) => void,
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
    for (; sent < due; sent++) onDue(sent);
    if (sent >= plan.total) return;
    const wait = Atomics.waitAsync(words, DUE, due);
    if (wait.async) await wait.value;
  }
}

async function round(bench: Bench, row: OverheadRow, rate: number, seconds: number) {
  bench.row = row;
  const skipped = Math.ceil(rate / 4);
  const total = skipped + rate * seconds;
  const took_us = new Float64Array(total);
  const scanned = envelope(row.payload_bytes);
  let refused = 0;
  let open = total;
  const { promise: settled, resolve } = Promise.withResolvers<void>();
  const done = (index: number, asked_ms: number) => {
    took_us[index] = (performance.now() - asked_ms) * 1_000;
    if (--open === 0) resolve();
  };
  await load(bench, { rate, total }, (index) => {
    const asked_ms = performance.now();
    const verdict = bench.overseer.onMessage(bench.callers[index % CONNECTIONS]!, scanned);
    if (verdict === undefined) return done(index, asked_ms);
    Promise.resolve(verdict).then(() => done(index, asked_ms), () => {
      refused++;
      done(index, asked_ms);
    });
  });
  await settled;
  const sorted = took_us.subarray(skipped).sort();
  const [p50_us, p99_us] = [percentile(sorted, 0.5), percentile(sorted, 0.99)];
  return { row: row.name, rate, sent: total - skipped, refused, p50_us, p99_us };
}

async function measure({ rounds, seconds }: Plan): Promise<Round[]> {
  const bench = await start();
  const results: Round[] = [];
  // The optimising compiler must have seen every row before anything counts.
  for (const row of JUDGED) await round(bench, row, 2_000, 1);
  for (let count = 0; count < rounds; count++) {
    for (const rate of RATES) {
      for (const row of JUDGED) results.push(await round(bench, row, rate, seconds));
    }
  }
  await bench.pool.close();
  return results;
}

/** Measures every row with a policy at every rate, `rounds` times in turns; the medians over them. */
export async function measureVerdicts(rounds: number, seconds: number): Promise<VerdictResult[]> {
  console.error("the Policies alone ...");
  const flags = ["--unstable-worker-options", "--allow-run", "--allow-read"];
  const plan: Plan = { rounds, seconds };
  const all = await measuredBy<Round[]>(import.meta.url, plan, { flags });
  return RATES.flatMap((rate) =>
    JUDGED.map(({ name: row }) => {
      const mine = all.filter((one) => one.row === row && one.rate === rate);
      const [p50_us, p99_us] = [medianOf(mine, "p50_us"), medianOf(mine, "p99_us")];
      const least_p99_us = Math.min(...mine.map((one) => one.p99_us));
      const counts = { sent: sumOf(mine, "sent"), refused: sumOf(mine, "refused") };
      return { row, rate, ...counts, p50_us, p99_us, least_p99_us };
    })
  );
}

/** The table of the rows. */
export function renderVerdicts(results: readonly VerdictResult[]): string {
  return renderTable(results, [
    ["asking for a verdict", ({ row }) => row],
    ["rate", ({ rate }) => `${rate}/s`],
    ["refused", ({ refused, sent }) => `${refused} of ${sent}`],
    ["p50 µs", ({ p50_us }) => p50_us],
    ["p99 µs", ({ p99_us }) => p99_us],
    ["least p99", ({ least_p99_us }) => least_p99_us],
  ]);
}

if (import.meta.main) await answer(measure);
