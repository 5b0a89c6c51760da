/**
 * Rooms beside a model that copies everything: random logs that cross their bounds, with repetitions, timers and clocks
 * that go back. A snapshot may cut a log anywhere.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { command, reducerOf, roomOf, timer, utf8 } from "../testing/rooms.ts";
import { applyEntry, type Draft } from "./fold.ts";
import { emptyRoom, nextTimer, valuesDigest } from "./room_state.ts";
import type { CommandEntry, Outcome, RoomState, TimerEntry } from "./room_state.ts";
import { decodeSnapshot, encodeSnapshot } from "./snapshot.ts";

const BOUNDS = {
  keys: 6,
  value_bytes: 12,
  state_bytes: 60,
  events: 3,
  timers: 2,
  remembered: 3,
  least_delay_ms: 5,
};

/** One operation of a command. */
type Op =
  | { readonly op: "write"; readonly key: string; readonly value: string }
  | { readonly op: "delete"; readonly key: string }
  | { readonly op: "emit"; readonly data: string }
  | { readonly op: "scan"; readonly prefix: string }
  | { readonly op: "schedule"; readonly key: string; readonly in_ms: number }
  | { readonly op: "unschedule"; readonly key: string }
  | { readonly op: "throw" };

function opsOf(draft: Pick<Draft, "asked">): readonly Op[] {
  return JSON.parse(new TextDecoder().decode(draft.asked.data));
}

const programs = reducerOf((draft) => {
  for (const op of opsOf(draft)) perform(draft, op);
});

function perform(draft: Draft, op: Op): void {
  switch (op.op) {
    case "write":
      return draft.write(utf8(op.key), utf8(op.value));
    case "delete":
      return draft.write(utf8(op.key), undefined);
    case "emit":
      return draft.emit({ type: "e", data: utf8(op.data), to: "" });
    case "scan": {
      const found = [...draft.scan(utf8(op.prefix), utf8(""))].slice(0, 4);
      return draft.answer(utf8(found.map(([key]) => key).join()));
    }
    case "schedule": {
      const at_ms = draft.time_ms + op.in_ms;
      return draft.schedule(op.key, { at_ms, command: "later", data: utf8("[]") });
    }
    case "unschedule":
      return draft.unschedule(op.key);
    case "throw":
      throw "no";
    default:
      op satisfies never;
  }
}

/** The model's state of a room. */
interface Model {
  values: Record<string, string>;
  timers: Record<string, number>;
  time_ms: number;
  answers: { readonly key: string; readonly outcome: string }[];
}

const outcomeText = ({ kind, answer }: Pick<Outcome, "kind" | "answer">) =>
  `${kind} ${new TextDecoder().decode(answer)}`;

const sizeOf = (values: Record<string, string>) =>
  Object.entries(values).reduce((sum, [key, value]) => sum + key.length + value.length, 0);

/** Runs the operations on a copy; "fault" if they exceed a bound. */
function modelRun(model: Model, ops: readonly Op[]): { outcome: string; next: Model } {
  const next = structuredClone(model);
  let answer = "";
  let events = 0;
  for (const op of ops) {
    if (op.op === "write") {
      const grows = op.value.length + op.key.length >
        (op.key in next.values ? next.values[op.key]!.length + op.key.length : 0);
      next.values[op.key] = op.value;
      const over = grows && sizeOf(next.values) > BOUNDS.state_bytes;
      const many = Object.keys(next.values).length > BOUNDS.keys;
      if (op.value.length > BOUNDS.value_bytes || over || many) {
        return { outcome: "fault ", next: model };
      }
    } else if (op.op === "delete") delete next.values[op.key];
    else if (op.op === "unschedule") delete next.timers[op.key];
    else if (op.op === "throw") return { outcome: "rejected ", next: model };
    else if (op.op === "emit" && ++events > BOUNDS.events) {
      return { outcome: "fault ", next: model };
    } else if (op.op === "schedule") {
      next.timers[op.key] = model.time_ms + op.in_ms;
      const many = Object.keys(next.timers).length > BOUNDS.timers;
      if (op.in_ms < BOUNDS.least_delay_ms || many) return { outcome: "fault ", next: model };
    } else if (op.op === "scan") {
      const found = Object.keys(next.values).filter((key) => key.startsWith(op.prefix)).sort();
      answer = found.slice(0, 4).join();
    }
  }
  return { outcome: `applied ${answer}`, next };
}

function modelApply(model: Model, entry: CommandEntry | TimerEntry): string {
  model.time_ms = Math.max(model.time_ms, entry.time_ms);
  if (entry.kind === "timer") {
    const at_ms = model.timers[entry.key];
    if (at_ms === undefined || at_ms > model.time_ms) return "rejected ";
    delete model.timers[entry.key];
    return "applied ";
  }
  const key = JSON.stringify([entry.user_id, entry.id]);
  const known = model.answers.find((one) => one.key === key);
  if (known !== undefined) return known.outcome;
  const { outcome, next } = modelRun(model, opsOf({ asked: entry }));
  Object.assign(model, next);
  if (entry.id !== "") model.answers.push({ key, outcome });
  if (model.answers.length > BOUNDS.remembered) model.answers.shift();
  return outcome;
}

const key = fc.constantFrom("a", "ab", "b", "b/1", "b/2", "c", "d", "é");
const op: fc.Arbitrary<Op> = fc.oneof(
  fc.record({
    op: fc.constant("write" as const),
    key: key.filter((one) => one !== "é"),
    value: fc.string({ unit: fc.constantFrom("x", "y"), maxLength: 14 }),
  }),
  fc.record({ op: fc.constant("delete" as const), key }),
  fc.record({ op: fc.constant("emit" as const), data: fc.constantFrom("1", "2") }),
  fc.record({ op: fc.constant("scan" as const), prefix: fc.constantFrom("", "b", "b/", "z") }),
  fc.record({ op: fc.constant("schedule" as const), key, in_ms: fc.integer({ min: 3, max: 30 }) }),
  fc.record({ op: fc.constant("unschedule" as const), key }),
  fc.constant({ op: "throw" as const }),
);
/** Entries without their offsets. */
const written = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      ops: fc.array(op, { maxLength: 6 }),
      // A user and an id of one may be those of another when they are joined.
      user_id: fc.constantFrom("u", "ui"),
      id: fc.constantFrom("", "i", "ii", "j", "k", "l"),
      step: fc.integer({ min: -20, max: 20 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ key, step: fc.integer({ min: -20, max: 40 }) }) },
);
const logs = fc.array(written, { maxLength: 30 }).map((list) => {
  let time_ms = 1_000;
  return list.map((one, at): CommandEntry | TimerEntry => {
    time_ms += one.step;
    if ("key" in one) return timer(at + 1, one.key, time_ms);
    const { user_id, id } = one;
    return command(at + 1, { data: utf8(JSON.stringify(one.ops)), user_id, id, time_ms });
  });
});

/** The earliest timer, of several that with the lowest key. */
function firstTimer({ timers }: Model): { key: string; at_ms: number } | undefined {
  const [first] = Object.entries(timers).sort(([one, at], [other, later]) =>
    at - later || (one < other ? -1 : 1)
  );
  return first && { key: first[0], at_ms: first[1] };
}

const textOf = (state: RoomState) =>
  Object.fromEntries(
    [...state.values.entries()].map(([name, value]) => [name, new TextDecoder().decode(value)]),
  );

Deno.test("a room equals a model that copies everything, after every entry", () => {
  fc.assert(
    fc.property(logs, (log) => {
      const model: Model = { values: {}, timers: {}, time_ms: 0, answers: [] };
      let state = emptyRoom();
      for (const entry of log) {
        const before = encodeSnapshot(state);
        const step = applyEntry(state, entry, programs, roomOf(BOUNDS));
        assert.equal(outcomeText(step.outcome), modelApply(model, entry));
        assert.deepEqual(encodeSnapshot(state), before, "the state before stays what it was");
        if (step.outcome.kind !== "applied") {
          assert.deepEqual(valuesDigest(step.state), valuesDigest(state));
          assert.deepEqual(step.outcome.events, []);
        }
        state = step.state;
        assert.deepEqual(textOf(state), model.values);
        assert.equal(state.size_bytes, sizeOf(model.values));
        assert.equal(state.time_ms, model.time_ms);
        const timers = [...state.timers.entries()].map(([name, { at_ms }]) => [name, at_ms]);
        assert.deepEqual(Object.fromEntries(timers), model.timers);
        assert.deepEqual(nextTimer(state), firstTimer(model));
      }
    }),
    { numRuns: 300 },
  );
});

Deno.test("a log has one digest for any positions of snapshots, and for any requests of a caller that owns the maps", () => {
  fc.assert(
    fc.property(logs, fc.array(fc.nat(30), { maxLength: 4 }), (log, cuts) => {
      const whole = log.reduce(
        (state, entry) => applyEntry(state, entry, programs, roomOf(BOUNDS)).state,
        emptyRoom(),
      );
      const cut = log.reduce((state, entry, at) => {
        const from = cuts.includes(at) ? decodeSnapshot(encodeSnapshot(state)) : state;
        return applyEntry(from, entry, programs, roomOf(BOUNDS)).state;
      }, emptyRoom());
      assert.equal(cut.chain.toHex(), whole.chain.toHex());
      assert.deepEqual(encodeSnapshot(cut), encodeSnapshot(whole));
      const request = () => ({ ...roomOf(BOUNDS), owned: new WeakSet() });
      const kept: { readonly state: RoomState; readonly bytes: Uint8Array }[] = [];
      let room = request();
      const owned = log.reduce((state, entry, at) => {
        if (cuts.includes(at)) {
          kept.push({ state, bytes: encodeSnapshot(state) });
          room = request();
        }
        return applyEntry(state, entry, programs, room).state;
      }, emptyRoom());
      assert.deepEqual(encodeSnapshot(owned), encodeSnapshot(whole));
      // The values between two requests are unchanged.
      for (const { state, bytes } of kept) assert.deepEqual(encodeSnapshot(state), bytes);
    }),
    { numRuns: 200 },
  );
});
