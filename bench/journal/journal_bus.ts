/**
 * Measures what the journal costs a message in CPU time of the whole process: messages with one policy on a bus
 * that writes every decision, and on one that writes none, in turns at one rate. What a decision takes on disk
 * is what the bus counts.
 */
import { openLoop } from "../measure/open_loop.ts";
import { ROOT } from "../measure/scenario.ts";
import { median } from "../measure/statistics.ts";
import { renderRows } from "../measure/table.ts";
import { type BusProcess, openOnBus, startBus } from "../measure/targets.ts";
import { cpuSecondsBetween, type Usage, usagesOf } from "../measure/usage.ts";
import { deployRows, tenantOf, tokens } from "../policy/policy_bus.ts";
import { chatPayload, ROWS } from "../policy/policy_rows.ts";

const RATE = 5_000;
const CONNECTIONS = 50;
const ROW = ROWS.find(({ name }) => name === "bad words 200 B")!;
const CONFIG = `${ROOT}/bench/policy/policy_price.toml`;
/** Payloads are not kept, as in durable rooms: what a decision takes beside them counts. */
const JOURNALS = {
  off: "",
  all: '[journal]\njournal = "all"\njournal_payload = "hash"\n',
  "all, with payloads": '[journal]\njournal = "all"\n',
} as const;
type Name = keyof typeof JOURNALS;

/** The figures of one row. */
export interface JournalPrice {
  readonly journal: string;
  /** CPU time of the process for each message, all threads. */
  readonly cpu_us: number;
  /** The same beside the turn of the same round that wrote nothing. */
  readonly of_off: number;
  readonly p50_us: number;
  readonly p99_us: number;
  /** Bytes of the journal for each decision; 0 without one. */
  readonly bytes: number;
  /** Messages that did not come back, and decisions that were not stored. */
  readonly missing: number;
  readonly lost: number;
}

interface Bench {
  readonly name: Name;
  readonly bus: BusProcess;
  /** A token for each connection, so that each is another user. */
  readonly tokens: readonly string[];
}

async function openBench(name: Name): Promise<Bench> {
  const dir = `${ROOT}/.arqon`;
  await Deno.mkdir(dir, { recursive: true });
  const file = await Deno.makeTempFile({ dir, suffix: ".toml" });
  await Deno.writeTextFile(file, await Deno.readTextFile(CONFIG) + JOURNALS[name]);
  const bus = await startBus(file);
  await Deno.remove(file);
  const tokenFor = await tokens(bus);
  await deployRows(bus, tokenFor, [ROW]);
  const claims = { tenant_id: tenantOf(ROW), role: "user" };
  const users = Array.from({ length: CONNECTIONS }, (_, index) => `user-${index}`);
  return { name, bus, tokens: await Promise.all(users.map((sub) => tokenFor({ ...claims, sub }))) };
}

async function usageOf({ pid }: BusProcess): Promise<Usage> {
  const [usage] = await usagesOf([[pid]]);
  return usage!;
}

async function measureOnce({ name, bus, tokens }: Bench, seconds: number): Promise<JournalPrice> {
  const target = {
    name,
    open: (index: number, onEcho: () => void) =>
      openOnBus(bus.url, tokens[index % tokens.length]!, index, onEcho),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  const body = chatPayload(ROW.payload_bytes);
  const usages: Usage[] = [];
  const read = async () => void usages.push(await usageOf(bus));
  const { sent, received, p50_ms, p99_ms } = await openLoop(target, {
    ...{ rate: RATE, seconds, warmup_seconds: 0, connections: CONNECTIONS },
    ...{ body, body_bytes: body.length, from: "sent", onOpen: read, onAnswered: read },
  });
  const [stored, lost, bytes] = await journalCounts(bus);
  return {
    journal: name,
    cpu_us: cpuSecondsBetween(usages[0]!, usages[1]!) * 1e6 / received,
    of_off: NaN,
    p50_us: p50_ms * 1_000,
    p99_us: p99_ms * 1_000,
    bytes: stored === 0 ? 0 : bytes / stored,
    missing: sent - received,
    lost,
  };
}

/** Decisions that the bus has stored and lost so far, and the bytes of its blocks. */
async function journalCounts(
  { ops_url }: BusProcess,
): Promise<[stored: number, lost: number, bytes: number]> {
  const page = await (await fetch(`${ops_url}/metrics`)).text();
  const of = (name: string) =>
    Number(page.split("\n").find((line) => line.startsWith(`${name} `))?.split(" ")[1] ?? 0);
  return [
    of('shield_journal_records_total{outcome="stored"}'),
    of('shield_journal_records_total{outcome="lost"}'),
    of("shield_journal_bytes_total"),
  ];
}

/** Measures each kind of journal, `rounds` times in turns; the medians over them. */
export async function measureJournal(rounds: number, seconds: number): Promise<JournalPrice[]> {
  await using stack = new AsyncDisposableStack();
  const benches: Bench[] = [];
  for (const name of Object.keys(JOURNALS) as Name[]) {
    const bench = await openBench(name);
    stack.use(bench.bus);
    benches.push(bench);
  }
  // The optimising compiler must have seen every bus before anything counts.
  for (const bench of benches) await measureOnce(bench, 3);
  const all: JournalPrice[] = [];
  for (let round = 0; round < rounds; round++) {
    console.error(`journal, round ${round + 1} of ${rounds} ...`);
    const turns: JournalPrice[] = [];
    for (const bench of round % 2 === 0 ? benches : benches.toReversed()) {
      turns.push(await measureOnce(bench, seconds));
    }
    const off = turns.find(({ journal }) => journal === "off")!.cpu_us;
    all.push(...turns.map((one) => ({ ...one, of_off: one.cpu_us / off })));
  }
  return benches.map(({ name }) => medians(all.filter(({ journal }) => journal === name)));
}

function medians(all: readonly JournalPrice[]): JournalPrice {
  const of = (name: Exclude<keyof JournalPrice, "journal">) => median(all.map((one) => one[name]));
  const missing = all.reduce((sum, one) => sum + one.missing, 0);
  const { journal, lost } = all.at(-1)!;
  return {
    ...{ journal, missing, lost, cpu_us: of("cpu_us"), of_off: of("of_off"), bytes: of("bytes") },
    ...{ p50_us: of("p50_us"), p99_us: of("p99_us") },
  };
}

/** The table of the journals. */
export function renderJournal(prices: readonly JournalPrice[]): string {
  return renderRows(
    [`journal, ${RATE}/s, one policy`, "CPU µs", "of off", "p50 µs", "p99 µs", "B a decision"],
    prices.map(({ journal, cpu_us, of_off, p50_us, p99_us, bytes }) => [
      journal,
      cpu_us.toFixed(1),
      of_off.toFixed(3),
      p50_us.toFixed(0),
      p99_us.toFixed(0),
      bytes.toFixed(1),
    ]),
  );
}
