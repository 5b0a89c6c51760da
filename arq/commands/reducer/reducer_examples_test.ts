/**
 * The example reducers over the scripts beside them, as `arq reducer test` runs them: their purpose, their timers, and
 * the one in Rust compared with the same in AssemblyScript. `reducer_test.ts` has the auction.
 */
import assert from "node:assert/strict";
import { diskIo, folderWith } from "../../testing/disk_io.ts";
import { runReducer } from "../../testing/run_reducer.ts";
import type { Flags } from "../../program/flags.ts";

const BUILT = new URL("../../../policies/build/reducers/", import.meta.url).pathname;
const SCRIPTS = new URL("../../../policies/reducers/scripts/", import.meta.url).pathname;
const FLAGS = { room: "lobby", seed: 1, fuelLimit: 10_000, memoryLimitPages: 64, json: true };

interface Step {
  readonly at_ms: number;
  readonly verdict: string;
  readonly code: number;
  readonly reason: string;
  readonly answer: string;
  readonly fuel: number;
  readonly events: readonly {
    readonly type: string;
    readonly data: string;
    readonly to?: string;
  }[];
}

async function run(
  name: string,
  commands: string,
  more: Partial<Flags<"commands" | "fuelLimit" | "memoryLimitPages" | "room" | "seed">> = {},
) {
  const io = diskIo(SCRIPTS);
  const code = await runReducer(io, `${BUILT}${name}.wasm`, { ...FLAGS, commands, ...more });
  const lines = io.stdout.text().trimEnd().split("\n").map((line) => JSON.parse(line));
  return { code, steps: lines.slice(0, -1) as Step[], end: lines.at(-1) };
}

const eventsOf = (steps: readonly Step[]) =>
  steps.flatMap(({ events }) => events.map(({ type, data }) => [type, JSON.parse(data)] as const));

Deno.test("a chess clock runs for one player at a time, and ends the game automatically", async () => {
  const { code, steps } = await run("chess_clock", "chess_clock.ndjson");
  assert.equal(code, 0);
  const refused = steps.flatMap(({ verdict, reason }) => verdict === "rejected" ? [reason] : []);
  assert.deepEqual(refused, [
    "nobody plays against themself",
    "it is not your turn",
    "the room looks at the time",
    "the game has ended",
  ]);
  const clocks = eventsOf(steps).filter(([type]) => type === "clock");
  assert.deepEqual(clocks.map(([, { white_ms, black_ms, turn }]) => [white_ms, black_ms, turn]), [
    [60_000, 60_000, "white"],
    [57_000, 60_000, "black"],
    // He had 5 ms left, and got two seconds more.
    [57_000, 2_005, "white"],
    [58_000, 2_005, "black"],
  ]);
  assert.deepEqual(eventsOf(steps).at(-1), ["ended", { winner: "white", why: "time" }]);
  const pressed = steps.at(-3)!;
  const ended = steps.at(-2)!;
  assert.equal(ended.at_ms - pressed.at_ms, 2_005);
});

Deno.test("a quota is per user, and drops users without use; the same in Rust", async () => {
  const compare = `${BUILT}quota_rust.wasm`;
  const { code, steps, end } = await run("quota", "quota.ndjson", { compare });
  assert.equal(code, 0);
  assert.equal(end.differing, 0);
  assert.deepEqual(steps.map(({ code, answer }) => code || answer), [
    ...["40", "880", 429, "0", "0", 400, 403, "", "100", "0", ""],
  ]);
  assert.equal(end.keys, 0);
});

Deno.test("a quota of many users is swept page by page, in both languages", async () => {
  const many = Array.from(
    { length: 450 },
    (_, at) => ({ command: "take", data: 1, user: `u${at}` }),
  );
  const lines = [...many, { after_ms: 60_000 }, { command: "take", data: 1, user: "u7" }, {
    after_ms: 59_000,
  }];
  await using folder = await folderWith({
    "c.ndjson": lines.map((line) => `${JSON.stringify(line)}\n`).join(""),
  });
  const compare = `${BUILT}quota_rust.wasm`;
  const { code, end } = await run("quota", `${folder.path}/c.ndjson`, { compare });
  assert.equal(code, 0);
  assert.equal(end.keys, 1);
});

Deno.test("a poll counts what each thinks last, and closes itself", async () => {
  const { code, steps } = await run("poll", "poll.ndjson");
  assert.equal(code, 0);
  const events = eventsOf(steps);
  assert.deepEqual(events.map(([type]) => type), [
    ...["asked", "counts", "counts", "counts", "closed"],
  ]);
  const [, { question, options }] = events[0]!;
  assert.deepEqual([question, options], ['What "now"?\t\u0001', ["Pizza", "Süß \\ 🍣"]]);
  assert.deepEqual(events.slice(1).map(([, counts]) => counts), [[1, 0], [0, 1], [0, 2], [0, 2]]);
  assert.equal(JSON.parse(steps[5]?.answer ?? "").state, "open");
});

Deno.test("a sale has one lot after another, and a late bid makes one longer", async () => {
  const { code, steps } = await run("sale", "sale.ndjson");
  assert.equal(code, 0);
  const lots = eventsOf(steps).map(([, lot]) => lot);
  assert.deepEqual(lots.map(({ lot, state, price, bidder }) => [lot, state, price, bidder]), [
    ...[[1, "open", 10, ""], [1, "open", 10, "ann"], [1, "open", 12, "bob"], [
      1,
      "sold",
      12,
      "bob",
    ]],
    ...[[2, "open", 1, ""], [2, "unsold", 1, ""]],
  ]);
  const [offered, , late] = lots;
  assert.equal(late.closes_ms - offered.closes_ms, 4_000);
  assert.equal(offered.title, 'A "rare" stamp');
  assert.deepEqual(JSON.parse(steps.at(-1)?.answer ?? ""), lots.at(-1));
});

Deno.test("a tally in Rust answers and publishes as its schema declares", async () => {
  const { code, steps, end } = await run("tally_rust", "tally.ndjson");
  assert.equal(code, 0);
  assert.deepEqual(steps.map(({ answer, code }) => [answer, code]), [["5", 0], ["3", 0], [
    "",
    400,
  ]]);
  assert.equal(end.forbidden, 1);
});

Deno.test("a game ticks twenty times per second while somebody plays, and publishes the outcome of each gem", async () => {
  const { code, steps } = await run("arena", "arena.ndjson");
  assert.equal(code, 0);
  const field = JSON.parse(steps[0]?.answer ?? "");
  assert.deepEqual(field.gems, []);
  const ticks = steps.flatMap(({ at_ms, events }) =>
    events.filter(({ type }) => type === "tick").map(({ data }) => ({ at_ms, ...JSON.parse(data) }))
  );
  for (const [at, { at_ms }] of ticks.entries()) assert.equal(at_ms - ticks[0]!.at_ms, 50 * at);
  assert.deepEqual(ticks.at(-1).players, {});
  assert.ok(ticks.at(-1).at_ms - steps[0]!.at_ms < 16_000, "who says nothing is gone");
  const gems = new Set<number>(field.gems);
  for (const [cell, isThere] of ticks.flatMap((tick) => tick.gems)) {
    assert.equal(gems.has(cell), isThere === 0, `gem ${cell}`);
    if (isThere === 0) gems.delete(cell);
    else gems.add(cell);
  }
  assert.equal(gems.size, 200);
  const scores = ticks.map(({ players }) => players.ann?.[2] ?? 0);
  assert.ok(Math.max(...scores) > 0, "she found one");
});

Deno.test("a full game has fuel left, and nobody else can join", async () => {
  const users = Array.from({ length: 25 }, (_, at) => `player-${at}-with-a-name`);
  const lines = [
    ...users.map((user) => ({ command: "join", user })),
    ...users.map((user, at) => ({ command: "steer", data: at % 9, user })),
    { after_ms: 3_000 },
    { command: "join", user: users[3] },
  ];
  await using folder = await folderWith({
    "c.ndjson": lines.map((line) => `${JSON.stringify(line)}\n`).join(""),
  });
  const { code, steps } = await run("arena", `${folder.path}/c.ndjson`);
  assert.equal(code, 0);
  assert.equal(steps[24]?.reason, "the arena is full");
  assert.ok(Math.max(...steps.map(({ fuel }) => fuel)) < 7_000);
  assert.equal(JSON.parse(steps.at(-1)?.answer ?? "").gems.length, 200);
});
