/**
 * The cost of what a bus writes about messages. The scenario `journal`: the CPU time and disk space of writing every
 * decision, with one policy. The scenario `proof`: the CPU time of rooms' transparency logs. A bus that writes takes
 * turns with one that does not, at one rate, embedded.
 */
import {
  atRate,
  busTarget,
  inTurns,
  type Player,
  type Price,
  priceOf,
} from "../load/crowd/turns.ts";
import { type Group, oneRoom, ownRooms } from "../load/plans/plan.ts";
import { Scrape } from "../measure/scrape.ts";
import { failureOfLost, scenario } from "../measure/scenario.ts";
import { type Column, renderTable } from "../measure/table.ts";
import { type BusProcess, startConfigured, tokens } from "../measure/targets.ts";
import { CONFIG, deployRows, tenantOf } from "../policy/policy_bus.ts";
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

/** The columns of prices that are compared with those of the row `other`. */
const priceColumns = (what: string, other: string): Column<Price>[] => [
  [`${what}, ${RATE}/s`, ({ name }) => name],
  ["CPU µs", ({ cpu_us }) => cpu_us, 1],
  [`of ${other}`, ({ of_other }) => of_other, 3],
  ["p50 µs", ({ p50_us }) => p50_us],
  ["p99 µs", ({ p99_us }) => p99_us],
];

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
    const table = renderTable(bus, [
      ...priceColumns("journal, one policy", "off"),
      ["B a decision", ({ bytes }) => bytes, 1],
    ]);
    return { report: { options: { rounds, seconds }, bus }, table, failure };
  },
);

const PROVEN_PUBLISHERS = 50;
const SIZES_BYTES = [200];
/** A log reads once a second: the history must be longer. */
const PROVEN_ROOMS = `
[[rooms]]
room = "*"
durable = true
history_size = 100_000
`;
const LOGS: Readonly<Record<string, string>> = {
  without: PROVEN_ROOMS,
  with: `${PROVEN_ROOMS}proof = true\n[proof]\norigin = "bench.example"\n`,
};
/** Each message has one receiver. */
const LOADS: Readonly<Record<string, readonly Group[]>> = {
  "1 room": oneRoom("one", PROVEN_PUBLISHERS, 1, false),
  "50 rooms": [ownRooms(PROVEN_PUBLISHERS, "own")],
};

async function measureProof(rounds: number, seconds: number): Promise<Price[]> {
  await using stack = new AsyncDisposableStack();
  const players: Player[] = [];
  for (const [log, config] of Object.entries(LOGS)) {
    const bus = stack.use(await startConfigured(CONFIG + config));
    const token = await (await tokens(bus))({ tenant_id: "acme", role: "user" });
    for (const [load, groups] of Object.entries(LOADS)) {
      const target = busTarget(bus, [token]);
      players.push({ name: `${load}, ${log}`, target, groups, sizes_bytes: SIZES_BYTES });
    }
  }
  const warm = [{ ...atRate(RATE), seconds: 3 }];
  const effort = { rounds, seconds, warm, warmup_seconds: 2 };
  const turns = await inTurns(players, { [`${RATE}/s`]: atRate(RATE) }, effort);
  return players.map(({ name }) => priceOf(turns, name, name.replace(/with$/, "without")));
}

/** The scenario of `deno task bench proof`. */
export const PROOF = scenario(
  "proof",
  `what transparency logs of rooms cost. In turns within one run: the CPU time of a
message in rooms with a log and without.`,
  {
    rounds: [5, "turns of each row; medians over them count"],
    seconds: [5, "counted time of a turn of the bus"],
  },
  async ({ rounds, seconds }) => {
    const rows = await measureProof(rounds, seconds);
    const table = renderTable(rows, priceColumns("transparency log", "without"));
    const failure = failureOfLost(rows.some(({ missing }) => missing));
    return { report: { options: { rounds, seconds }, rows }, table, failure };
  },
);
