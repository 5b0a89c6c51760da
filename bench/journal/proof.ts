/**
 * The scenario `proof`: the CPU time of rooms' transparency logs. A bus with them takes turns with one without, at one
 * rate, embedded.
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
import { failureOfLost, scenario } from "../measure/scenario.ts";
import { renderTable } from "../measure/table.ts";
import { startConfigured } from "../measure/targets.ts";
import { CONFIG, tokens } from "../policy/policy_bus.ts";

const RATE = 5_000;
const PUBLISHERS = 50;
const SIZES_BYTES = [200];
/** A log reads once a second: the history must be longer. */
const ROOMS = `
[[rooms]]
room = "*"
durable = true
history_size = 100_000
`;
const LOGS: Readonly<Record<string, string>> = {
  without: ROOMS,
  with: `${ROOMS}proof = true\n[proof]\norigin = "bench.example"\n`,
};
/** Each message has one receiver. */
const LOADS: Readonly<Record<string, readonly Group[]>> = {
  "1 room": oneRoom("one", PUBLISHERS, 1, false),
  "50 rooms": [ownRooms(PUBLISHERS, "own")],
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
    const table = renderTable(rows, [
      [`transparency log, ${RATE}/s`, ({ name }) => name],
      ["CPU µs", ({ cpu_us }) => cpu_us, 1],
      ["of without", ({ of_other }) => of_other, 3],
      ["p50 µs", ({ p50_us }) => p50_us],
      ["p99 µs", ({ p99_us }) => p99_us],
    ]);
    const failure = failureOfLost(rows.some(({ missing }) => missing));
    return { report: { options: { rounds, seconds }, rows }, table, failure };
  },
);
