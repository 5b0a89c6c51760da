/**
 * `arq reducer build` and `test`, as a person uses them: the example auction from its source to its end, snapshots, two
 * modules compared, and errors for invalid input.
 */
import assert from "node:assert/strict";
import { emptyRoom, type Outcome } from "../../../brain/reducers/state/room_state.ts";
import { createLineReader, runLine, TooManyTimers } from "../../reducers/reducer_run.ts";
import { diskIo, folderWith } from "../../testing/disk_io.ts";
import { CommandError } from "../../terminal/exit.ts";
import { runReducer } from "../../testing/run_reducer.ts";
import type { Flags } from "../../program/flags.ts";
import { reducerBuild } from "../policy/policy_build.ts";

const BUILT = new URL("../../../policies/build/", import.meta.url).pathname;
const SOURCES = new URL("../../../policies/reducers/", import.meta.url);
const AUCTION = `${BUILT}reducers/auction.wasm`;
const COUNTER = `${BUILT}reducers/counter.wasm`;

const lines = (...commands: readonly unknown[]) =>
  commands.map((one) => `${JSON.stringify(one)}\n`).join("");

const BIDS = lines(
  { command: "open", data: 60_000, user: "sam" },
  { command: "bid", data: 100, user: "ann", id: "a1", after_ms: 1_000 },
  { command: "bid", data: 90, user: "bob" },
  { command: "bid", data: 100, user: "ann", id: "a1" },
  { command: "bid", data: 120, user: "bob", after_ms: 55_000 },
  { command: "close", user: "bob" },
  { command: "sell", user: "bob" },
  { after_ms: 20_000 },
  { command: "bid", data: 999, user: "ann" },
);

const FLAGS = { commands: "c.ndjson", room: "lobby", seed: 1 };
const LIMITS = { fuelLimit: 10_000, memoryLimitPages: 64 };

/** Runs it in a folder. */
async function test(
  cwd: string,
  file: string,
  more: Partial<Flags<"commands" | "fuelLimit" | "memoryLimitPages" | "room" | "seed">> = {},
) {
  const io = diskIo(cwd);
  const code = await runReducer(io, file, { ...FLAGS, ...LIMITS, ...more });
  return { code, out: io.stdout.text() };
}

async function stepsOf(
  cwd: string,
  file: string,
  more: Partial<Flags<"commands" | "fuelLimit" | "memoryLimitPages" | "room" | "seed">> = {},
) {
  const { out } = await test(cwd, file, { json: true, ...more });
  const all = out.trimEnd().split("\n").map((line) => JSON.parse(line));
  return { steps: all.slice(0, -1), end: all.at(-1) };
}

async function refused(
  cwd: string,
  file: string,
  more: Partial<Flags<"commands" | "fuelLimit" | "memoryLimitPages" | "room" | "seed">> = {},
) {
  const error = await test(cwd, file, more).then(() => undefined, (cause) => cause);
  assert.ok(error instanceof CommandError, String(error));
  return `${error.message}\n${error.hint ?? ""}`;
}

Deno.test("an auction runs from its source to the timer that closes it", async () => {
  const source = await Deno.readTextFile(new URL("auction.ts", SOURCES));
  const text = source.replace("../reducer_sdk/mod.ts", "@arqon/reducer");
  await using folder = await folderWith({ "auction.ts": text, "c.ndjson": BIDS });
  const io = diskIo(folder.path);
  const built = await reducerBuild(io, "auction.ts", {});
  assert.ok(typeof built === "object", io.stderr.text());
  assert.match(built.text, /^auction\.wasm: \d+ bytes\n$/);
  const { code, out } = await test(folder.path, "auction.wasm", { values: true });
  assert.equal(code, 0);
  for (
    const line of [
      "3  rejected  bid by bob  409 the highest bid is 100",
      "4  applied   bid by ann  100, as entry 2 was",
      "6  rejected  close by bob  403 the room closes it",
      "7  rejected  sell by bob  404 no command sell",
      "8  applied   close by timer",
      "  event  won  120  to user:bob",
      "9  rejected  bid by ann  409 the auction is closed",
      "  bidder = bob",
    ]
  ) assert.ok(out.includes(`${line}\n`), `${line}\n${out}`);
  // A bid four seconds before the end extends it to ten.
  const { steps } = await stepsOf(folder.path, "auction.wasm");
  assert.equal(steps[7].at_ms - steps[4].at_ms, 10_000);
});

Deno.test("the host's fuel for a command is shown separately from its own", async () => {
  await using folder = await folderWith({ "c.ndjson": '{"command":"add"}\n' });
  const { steps: [step] } = await stepsOf(folder.path, COUNTER);
  assert.ok(step.fuel > 0 && step.host_fuel > 0, JSON.stringify(step));
  const { out } = await test(folder.path, COUNTER);
  assert.match(out, /\n {2}fuel [\d.]+ \+ [\d.]+ {2}chain /);
});

Deno.test("a run that a snapshot cuts ends where one in a piece does", async () => {
  const first = BIDS.split("\n").slice(0, 5);
  const rest = BIDS.split("\n").slice(5);
  await using folder = await folderWith({
    "all.ndjson": BIDS,
    "first.ndjson": first.join("\n"),
    "rest.ndjson": rest.join("\n"),
  });
  const whole = await stepsOf(folder.path, AUCTION, { commands: "all.ndjson" });
  await test(folder.path, AUCTION, { commands: "first.ndjson", snapshot: "s.room" });
  const cut = await stepsOf(folder.path, AUCTION, { commands: "rest.ndjson", begin: "s.room" });
  assert.deepEqual({ ...cut.end, entries: whole.end.entries }, whole.end);
  await Deno.writeTextFile(`${folder.path}/s.room`, "nothing");
  const commands = "rest.ndjson";
  assert.match(
    await refused(folder.path, AUCTION, { commands, begin: "s.room" }),
    /s\.room: no snap/,
  );
});

Deno.test("a module that behaves differently is distinguished from an equivalent one", async () => {
  await using folder = await folderWith({
    "c.ndjson": lines(
      { command: "add", data: 5, user: "ann" },
      { command: "add", data: "-7", user: "bob" },
      { command: "add", data: "x" },
      { command: "reset" },
      { command: "reset", role: "admin" },
    ),
  });
  const rust = `${BUILT}reducers/counter_rust.wasm`;
  const same = await test(folder.path, COUNTER, { compare: rust });
  assert.equal(same.code, 0);
  assert.match(same.out, /\nthe same as .*rust\.wasm\n$/);
  const one = await stepsOf(folder.path, COUNTER);
  const other = await stepsOf(folder.path, rust);
  assert.equal(one.end.chain, other.end.chain);
  const differs = await test(folder.path, COUNTER, { compare: AUCTION });
  assert.equal(differs.code, 1);
  assert.match(differs.out, /DIFFERS in verdict, code, reason, answer, events, values: rejected/);
  assert.match(differs.out, /5 entries differ from/);
});

Deno.test("data is text, JSON or bytes, as in the line", async () => {
  await using folder = await folderWith({
    "echo.ts": `import { Command, on } from "@arqon/reducer";
      on("echo", (c: Command) => c.answer(c.bytes.length.toString() + " " + c.text));`,
    "c.ndjson": lines(
      ...["5", 5, { a: [1, null] }, { base64: "aGk=" }, { base64: "aGk=", more: 1 }, true].map(
        (data) => ({ command: "echo", data }),
      ),
      { command: "echo" },
    ),
  });
  await reducerBuild(diskIo(folder.path), "echo.ts", {});
  const { steps } = await stepsOf(folder.path, "echo.wasm");
  assert.deepEqual(steps.map(({ answer }) => answer), [
    ...["1 5", "1 5", '14 {"a":[1,null]}', "2 hi", '26 {"base64":"aGk=","more":1}', "4 true"],
    "0 ",
  ]);
});

Deno.test("a fault is reported, and sets the exit code", async () => {
  await using folder = await folderWith({ "c.ndjson": lines({ command: "add", data: 5 }) });
  const { code, out } = await test(folder.path, COUNTER, { fuelLimit: 20 });
  assert.equal(code, 1);
  assert.match(out, /1 {2}fault {5}add by dev {2}503 reducer-fuel out of fuel/);
  assert.match(out, /1 entry, 1 fault; 0 values/);
});

Deno.test("time that a room wakes itself in is bounded", async () => {
  const source = `import { Command, on, schedule } from "@arqon/reducer";
    on("tick", (c: Command) => schedule("tick", c.nowMs + 50, "tick"));`;
  await using folder = await folderWith({
    "tick.ts": source,
    "c.ndjson": lines({ command: "tick" }, { after_ms: 1_000 }),
  });
  await reducerBuild(diskIo(folder.path), "tick.ts", {});
  const { end } = await stepsOf(folder.path, "tick.wasm");
  assert.equal(end.entries, 21);
  assert.equal(end.timers, 1);
  // Compared by hand, since running a reducer that often takes seconds.
  const state = emptyRoom();
  state.timers.set("tick", { at_ms: 0, command: "tick", data: new Uint8Array() });
  const step = { outcome: {} as Outcome, run: undefined, state };
  const applier = { state, schema: undefined, apply: () => step };
  const runAll = () => runLine(applier, createLineReader("c", 0)(1, "{}"), 1).forEach(() => {});
  assert.throws(runAll, new TooManyTimers("more than 100000 timers are due before line 1"));
});

Deno.test("a timer beyond the range of Date is shown as a number", async () => {
  const source = `import { on, schedule } from "@arqon/reducer";
    on("far", () => schedule("t", ${Number.MAX_SAFE_INTEGER}, "far"));`;
  await using folder = await folderWith({
    "far.ts": source,
    "c.ndjson": lines({ command: "far" }),
  });
  await reducerBuild(diskIo(folder.path), "far.ts", {});
  const { code, out } = await test(folder.path, "far.wasm");
  assert.equal(code, 0);
  assert.match(out, /1 timer, the first at 9007199254740991/);
});

Deno.test("invalid input is refused with its value and a valid one", async () => {
  await using folder = await folderWith({ "c.ndjson": "" });
  const cases: [string, RegExp][] = [
    [`{"comand":1}`, /line 1: Unrecognized key: "comand"\nexpected a line such as \{"command"/],
    [`\n{"command":""}`, /line 2: command: Too small/],
    [`{"command":"a","id":"\\ud800"}`, /line 1: id: a text with half a character/],
    [`{"command":"a","data":{"base64":"%"}}`, /line 1: .*"data" has "base64" that is none/],
    [`{"at_ms":1,"after_ms":1}`, /at_ms and after_ms; a line has one of them/],
    [`{"after_ms":-1}`, /after_ms: /],
    [`[]`, /line 1: Invalid input: expected object/],
    [`{`, /line 1: not JSON/],
    [`{"at_ms":9007199254740991}\n{"after_ms":9}`, /line 2: the time is too late/],
  ];
  for (const [text, message] of cases) {
    await Deno.writeTextFile(`${folder.path}/c.ndjson`, text);
    assert.match(await refused(folder.path, COUNTER), message, text);
  }
  const policy = `${BUILT}bad_words.wasm`;
  assert.match(await refused(folder.path, policy), /not-a-reducer.*"arqon_host_v1"."host_reject"/);
  assert.match(await refused(folder.path, "auction.ts"), /arq reducer build auction\.ts makes it/);
  assert.match(await refused(folder.path, "quota.rs"), /a reducer's source; .*\ncargo build --rel/);
  assert.match(await refused(folder.path, "none.wasm"), /cannot read/);
});

Deno.test("a source that handles no command, or has a mistake, is not built", async () => {
  await using folder = await folderWith({
    "none.ts":
      `import { emit } from "@arqon/reducer"; export function f(): void { emit("a", ""); }`,
    "wrong.ts": `import { on } from "@arqon/reducer";\non("a", (c) => { c.texts; });`,
  });
  const io = diskIo(folder.path);
  assert.equal(await reducerBuild(io, "none.ts", {}), 1);
  assert.match(io.stderr.text(), /none\.ts handles no command; call on\("name", handler\)/);
  assert.equal(await reducerBuild(io, "wrong.ts", {}), 1);
  assert.match(io.stderr.text(), /wrong\.ts:2:20: Property 'texts' does not exist/);
});
