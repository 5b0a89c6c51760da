/**
 * The scenario `journal`: the CPU time and disk space of writing every decision. A bus that writes every decision takes
 * turns with a bus that writes none, at one rate, with one policy.
 */
import {
  atRate,
  busTarget,
  inTurns,
  type Player,
  type Price,
  priceOf,
} from "../load/crowd/turns.ts";
import { ownRooms } from "../load/plans/plan.ts";
import { Scrape } from "../measure/scrape.ts";
import { failureOfLost, scenario } from "../measure/scenario.ts";
import { renderTable } from "../measure/table.ts";
import { type BusProcess, startConfigured } from "../measure/targets.ts";
import { CONFIG, deployRows, tenantOf, tokens } from "../policy/policy_bus.ts";
import { ROWS } from "../policy/policy_rows.ts";

const RATE = 5_000;
const CONNECTIONS = 50;
const ROW = ROWS.find(({ name }) => name === "bad words 200 B")!;
/** Payloads are not kept, as in durable rooms: only the rest of a decision counts. */
const JOURNALS: Readonly<Record<string, string>> = {
  "off": "",
  "all": '[journal]\njournal = "all"\n#constant journal.journal_payload = "hash"\n',
  "all, with payloads": '[journal]\njournal = "all"\n',
};

interface JournalPrice extends Price {
  /** Bytes of the journal for each decision; 0 without one. */
  readonly bytes: number;
  /** Decisions that were not stored. */
  readonly lost: number;
}

/** A bus with this journal, and its load: each connection is another user. */
async function playerOf(name: string, bus: BusProcess): Promise<Player> {
  const tokenFor = await tokens(bus);
  await deployRows(bus, tokenFor, [ROW]);
  const claims = { tenant_id: tenantOf(ROW), role: "user" };
  const users = Array.from(
    { length: CONNECTIONS },
    (_, at) => tokenFor({ ...claims, sub: `u${at}` }),
  );
  return {
    name,
    target: busTarget(bus, await Promise.all(users)),
    groups: users.map((_, token) => ownRooms(1, `own-${token}`, { token })),
    sizes_bytes: [ROW.payload_bytes],
  };
}

/** The number of decisions that the bus has lost so far, and the stored bytes per decision. */
async function journalCounts({ ops_url }: BusProcess): Promise<{ lost: number; bytes: number }> {
  const page = new Scrape(await (await fetch(`${ops_url}/metrics`)).text());
  const records = (outcome: string) => page.sum("shield_journal_records_total", `"${outcome}"`);
  const stored = records("stored");
  const bytes = stored === 0 ? 0 : page.sum("shield_journal_bytes_total") / stored;
  return { lost: records("lost"), bytes };
}

/** Measures each kind of journal, `rounds` times in turns; the medians over them. */
async function measureJournal(rounds: number, seconds: number): Promise<JournalPrice[]> {
  await using stack = new AsyncDisposableStack();
  const players: Player[] = [];
  const counts: (() => ReturnType<typeof journalCounts>)[] = [];
  for (const [name, journal] of Object.entries(JOURNALS)) {
    const bus = stack.use(await startConfigured(CONFIG + journal));
    players.push(await playerOf(name, bus));
    counts.push(() => journalCounts(bus));
  }
  const paces = { [`${RATE}/s`]: atRate(RATE) };
  const warm = [{ ...atRate(RATE), seconds: 3 }];
  const turns = await inTurns(players, paces, { rounds, seconds, warm });
  return await Promise.all(
    players.map(async ({ name }, at) => ({
      ...priceOf(turns, name, "off"),
      ...await counts[at]!(),
    })),
  );
}

function renderJournal(prices: readonly JournalPrice[]): string {
  return renderTable(prices, [
    [`journal, ${RATE}/s, one policy`, ({ name }) => name],
    ["CPU µs", ({ cpu_us }) => cpu_us, 1],
    ["of off", ({ of_other }) => of_other, 3],
    ["p50 µs", ({ p50_us }) => p50_us],
    ["p99 µs", ({ p99_us }) => p99_us],
    ["B a decision", ({ bytes }) => bytes, 1],
  ]);
}

/** The scenario of `deno task bench journal`. */
export const JOURNAL = scenario(
  "journal",
  `what the journal of decisions costs. In turns within one run: the CPU time of a
message with one policy, with every decision written and with none; what a decision takes on disk.`,
  {
    rounds: [5, "turns of each row; medians over them count"],
    seconds: [3, "counted time of a turn of the bus"],
  },
  async ({ rounds, seconds }) => {
    const bus = await measureJournal(rounds, seconds);
    const failure = failureOfLost(bus.some(({ missing, lost }) => missing || lost > 0));
    return { report: { options: { rounds, seconds }, bus }, table: renderJournal(bus), failure };
  },
);
