/**
 * The effects of one entry: order, repetitions, timers, bounds and the digest. `model_test.ts` has time, users, the
 * next timer, and callers that own the maps.
 */
import assert from "node:assert/strict";
import { command, reducerOf, roomOf, timer, utf8 } from "../testing/rooms.ts";
import { applyEntry, type Draft, type Reducer } from "./fold.ts";
import { emptyRoom, nextTimer } from "./room_state.ts";
import type { LogEntry, RoomBounds, RoomState } from "./room_state.ts";

const nothing = reducerOf(() => {});

function applied(
  entries: readonly LogEntry[],
  reducer: Reducer = nothing,
  bounds: Partial<RoomBounds> = {},
) {
  let state = emptyRoom();
  const outcomes = entries.map((entry) => {
    const step = applyEntry(state, entry, reducer, roomOf(bounds));
    state = step.state;
    return step.outcome;
  });
  return { state, outcomes };
}

const count = reducerOf((draft) => {
  const before = Number(new TextDecoder().decode(draft.read(utf8("n")) ?? utf8("0")));
  draft.write(utf8("n"), utf8(String(before + 1)));
  draft.answer(utf8(String(before + 1)));
});
const numberOf = (state: RoomState) => new TextDecoder().decode(state.values.get("n"));

Deno.test("an entry out of order is refused", () => {
  const { state } = applied([command(3)]);
  for (const offset of [3, 2, 0, -1, 3.5, NaN]) {
    assert.throws(() => applyEntry(state, command(offset), nothing, roomOf()), RangeError);
  }
});

Deno.test("an entry with a lone surrogate is refused", () => {
  const half = "a\ud800";
  for (
    const about of [{ command: half }, { id: half }, { user_id: half }, { claims: { a: half } }]
  ) {
    assert.throws(() => applied([command(1, about)]), /entry 1 has a text with half a character/);
  }
  assert.throws(() => applied([timer(1, half, 5)]), TypeError);
});

Deno.test("a command with the id of an earlier one is not applied again, and has its answer", () => {
  const { state, outcomes } = applied([1, 2, 3].map((at) => command(at, { id: "a" })), count);
  assert.equal(numberOf(state), "1");
  assert.deepEqual(outcomes.map(({ repeats }) => repeats), [undefined, 1, 1]);
  assert.deepEqual(new Set(outcomes.map(({ answer }) => answer.toHex())).size, 1);
  assert.deepEqual(outcomes[1]!.changes.size, 0);
});

Deno.test("the oldest answers are forgotten where there are too many, or too many bytes of them", () => {
  const ids = ["a", "b", "c", "a"].map((id, at) => command(at + 1, { id }));
  assert.equal(numberOf(applied(ids, count, { remembered: 2 }).state), "4");
  assert.equal(numberOf(applied(ids, count, { remembered: 3 }).state), "3");
  const { state } = applied(ids, count, { remembered_bytes: 20 });
  assert.equal(numberOf(state), "4");
  assert.ok(state.remembered_bytes <= 20);
});

Deno.test("a timer runs once, when it is due, and is removed whatever its command's outcome", () => {
  const requests: string[] = [];
  const reducer = reducerOf((draft) => {
    const { command, user_id, role } = draft.asked;
    if (command === "do") {
      draft.schedule("k", { at_ms: draft.time_ms + 100, command: "ring", data: utf8("x") });
      return;
    }
    requests.push(`${command} ${user_id} ${role}`);
    throw "no";
  });
  const { state, outcomes } = applied([
    command(1, { time_ms: 1_000 }),
    timer(2, "k", 1_099),
    timer(3, "other", 2_000),
    timer(4, "k", 2_000),
    timer(5, "k", 2_000),
  ], reducer);
  assert.deepEqual(requests, ["ring  timer"]);
  assert.deepEqual(outcomes.map(({ reason }) => reason), [
    ...["", "timer-not-due", "timer-not-due", "no", "timer-not-due"],
  ]);
  assert.equal(nextTimer(state), undefined);
});

Deno.test("every bound refuses the command that would cross it, and the room stays as it was", () => {
  const timer_of = (data: string, at_ms = 5_000) => ({ at_ms, command: "x", data: utf8(data) });
  const cases: [Partial<RoomBounds>, (draft: Draft) => void, RegExp][] = [
    [{ keys: 1 }, (d) => d.write(utf8("b"), utf8("")), /^values: 2; at most 1$/],
    [{ key_bytes: 2 }, (d) => d.write(utf8("abc"), utf8("")), /bytes of a key: 3; at most 2/],
    [{}, (d) => d.write(utf8(""), utf8("x")), /bytes of a key: 0; at least 1/],
    [{ value_bytes: 3 }, (d) => d.write(utf8("a"), utf8("four")), /bytes of a value: 4/],
    [{ state_bytes: 4 }, (d) => d.write(utf8("b"), utf8("xy")), /bytes of all values: 5/],
    [{ events: 0 }, (d) => d.emit({ type: "t", data: utf8(""), to: "" }), /events of a command: 1/],
    [{ event_bytes: 3 }, (d) => d.emit({ type: "t", data: utf8("xyz"), to: "" }), /events: 4/],
    [{}, (d) => d.emit({ type: "", data: utf8(""), to: "" }), /type of an event: empty/],
    ...["PRESENCE_UPDATE", "PRESENCE_LEAVE", "ROOM_UPDATE"].map((type): typeof cases[number] => [
      {},
      (d) => d.emit({ type, data: utf8("{}"), to: "" }),
      /is the bus's own/,
    ]),
    [
      {},
      (d) => d.emit({ type: "é".repeat(129), data: utf8(""), to: "" }),
      /type: 258; at most 256/,
    ],
    [{}, (d) => d.emit({ type: "t", data: utf8(""), to: "ann" }), /"user:ID" or "role:NAME"/],
    [{ answer_bytes: 1 }, (d) => d.answer(utf8("ab")), /bytes of an answer: 2; at most 1/],
    [{ timers: 0 }, (d) => d.schedule("k", timer_of("")), /scheduled commands: 1; at most 0/],
    [{ timer_bytes: 3 }, (d) => d.schedule("k", timer_of("ab")), /scheduled command: 4/],
    [{}, (d) => d.schedule("k", timer_of("", 1_002)), /: 1002; at least 1012, which is 10 ms/],
    [
      {},
      (d) => d.schedule("k", timer_of("", 2 ** 60)),
      /command: 1152921504606847000; at most 9007199254740991/,
    ],
    [{}, (d) => d.schedule("k", { ...timer_of(""), command: "" }), /name of a .*: empty/],
  ];
  for (const [bounds, apply, detail] of cases) {
    const first = applyEntry(
      emptyRoom(),
      command(1),
      reducerOf((draft) => draft.write(utf8("a"), utf8("1"))),
      roomOf({ state_bytes: 4, ...bounds }),
    );
    const { state, outcome } = applyEntry(
      first.state,
      command(2),
      reducerOf((draft) => {
        draft.write(utf8("a"), utf8("2"));
        apply(draft);
      }),
      roomOf(bounds),
    );
    assert.deepEqual([outcome.kind, outcome.fault, outcome.code], ["fault", "bounds", 413]);
    assert.match(outcome.detail, detail);
    assert.equal(new TextDecoder().decode(state.values.get("a")), "1");
    assert.equal(state.timers.size, 0);
    assert.notDeepEqual(state.chain, first.state.chain, "the refusal is part of what has happened");
  }
});

Deno.test("a change that makes a room smaller is applied even if the room exceeds its limits", () => {
  const { state } = applied([command(1)], reducerOf((d) => d.write(utf8("a"), utf8("12345678"))));
  const smaller = reducerOf((draft) => draft.write(utf8("a"), utf8("1234567")));
  const step = applyEntry(state, command(2), smaller, roomOf({ state_bytes: 1 }));
  assert.equal(step.outcome.kind, "applied");
});

Deno.test("the digest distinguishes everything that an entry may contain and do", () => {
  const chainOf = (entry: LogEntry, reducer: Reducer = nothing) =>
    applied([entry], reducer).state.chain.toHex();
  const chains = [
    chainOf(command(1)),
    chainOf(command(2)),
    chainOf(command(1, { time_ms: 7 })),
    chainOf(command(1, { seed: new Uint8Array(16).fill(1) })),
    chainOf(command(1, { command: "d", data: utf8("o") })),
    chainOf(command(1, { id: "i" })),
    chainOf(command(1, { user_id: "bob" })),
    chainOf(command(1, { role: "admin" })),
    chainOf(command(1, { claims: { a: "b" } })),
    chainOf(command(1), reducerOf((d) => d.write(utf8("a"), utf8("")))),
    chainOf(command(1), reducerOf((d) => d.emit({ type: "t", data: utf8(""), to: "" }))),
    chainOf(command(1), reducerOf((d) => d.answer(utf8("a")))),
    chainOf(
      command(1),
      reducerOf((d) => d.schedule("k", { at_ms: 9_000, command: "x", data: utf8("") })),
    ),
    chainOf(command(1), () => ({ kind: "rejected", code: 400, reason: "" })),
    chainOf(command(1), () => ({ kind: "fault", fault: "trap", detail: "" })),
    chainOf(timer(1, "k", 5)),
  ];
  assert.equal(new Set(chains).size, chains.length);
  const words = (detail: string) =>
    chainOf(command(1), () => ({ kind: "fault", fault: "trap", detail }));
  assert.equal(words("unreachable"), words("wasm trap"), "engines call a trap what they like");
});

Deno.test("random numbers are the entry's: others each time, the same ones again", () => {
  const drawn: bigint[] = [];
  const reducer = reducerOf((draft) => void drawn.push(draft.random(), draft.random()));
  applied([command(1), command(2)], reducer);
  applied([command(1), command(2)], reducer);
  assert.deepEqual(drawn.slice(4), drawn.slice(0, 4));
  assert.equal(new Set(drawn).size, 4);
});

Deno.test("a scan begins above a key and ends where the prefix does, in the order of bytes", () => {
  const scans: string[][] = [];
  const reducer = reducerOf((draft) => {
    for (const name of ["b", "a/\u{1f600}", "a/\uffff", "a/2", "a/10", "a"]) {
      draft.write(utf8(name), utf8(name));
    }
    for (
      const [prefix, after] of [["a/", ""], ["a/", "a/10"], ["a/", "a"], ["c", ""], ["", "a/2"]]
    ) {
      const found = [...draft.scan(utf8(prefix!), utf8(after!))];
      scans.push(found.map(([, value]) => new TextDecoder().decode(value)));
    }
  });
  applied([command(1)], reducer);
  assert.deepEqual(scans, [
    ["a/10", "a/2", "a/\uffff", "a/\u{1f600}"],
    ["a/2", "a/\uffff", "a/\u{1f600}"],
    ["a/10", "a/2", "a/\uffff", "a/\u{1f600}"],
    [],
    ["a/\uffff", "a/\u{1f600}", "b"],
  ]);
});
