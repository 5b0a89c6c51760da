/** Reducers as WebAssembly: the functions of a guest, and the faults of hostile ones. */
import assert from "node:assert/strict";
import { UNITS_PER_FUEL } from "../../../wasm/metering/meter_costs.ts";
import { command, roomOf, utf8 } from "../testing/rooms.ts";
import { moduleOf } from "../testing/guest_text.ts";
import { EMIT, type GuestText, HOSTILE, WRITES } from "../testing/hostile_reducers.ts";
import { type CommandEntry, emptyRoom, type RoomBounds } from "../state/room_state.ts";
import { applyEntry } from "../state/fold.ts";
import { meterReducer } from "../../../wasm/reducer/reducer_check.ts";
import { createReducer, type Run } from "./reducer_guest.ts";

const FUEL = 10_000;
function guestOf(guest: GuestText, memory_limit_pages = 4) {
  const metered = meterReducer(moduleOf(guest), memory_limit_pages);
  return createReducer(new WebAssembly.Module(metered.bytes), metered, FUEL);
}

/** Applies entries, one after another. */
function apply(
  guest: GuestText,
  entries: readonly CommandEntry[] = [command(1)],
  bounds: Partial<RoomBounds> = {},
) {
  const reducer = guestOf(guest);
  let state = emptyRoom();
  return entries.map((entry) => {
    let run: Run | undefined;
    const step = applyEntry(state, entry, (draft) => {
      run = reducer.run(draft);
      return run.verdict;
    }, roomOf(bounds));
    state = step.state;
    return { ...step, run: run! };
  });
}

const text = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);
const DATA = (at: number, content: string) => `(data (i32.const ${at}) "${content}")`;
/** Answers with the value that a function returned. */
const answer = (value: string) =>
  `(local $v i32) (local.set $v ${value})
   (call $room_answer (i32.add (local.get $v) (i32.const 4)) (i32.load (local.get $v)))
   (i32.const 0)`;

Deno.test("a reducer gets the command's members", () => {
  const entry = command(1, {
    command: "bid",
    data: utf8("120"),
    user_id: "ann",
    role: "user",
    id: "m1",
  });
  const fields = ["bid", "120", "ann", "user", "lobby", "m1"];
  for (const [which, expected] of fields.entries()) {
    const [step] = apply({ apply: answer(`(call $room_field (i32.const ${which}))`) }, [entry]);
    assert.equal(text(step!.outcome.answer), expected);
  }
  const [unknown] = apply({ apply: answer(`(call $room_field (i32.const 6))`) }, [entry]);
  assert.match(unknown!.outcome.detail, /room_field: 6 is not within 0 to 5/);
});

Deno.test("a claim is passed on, and a missing one is 0, whatever its name", () => {
  const entry = command(1, { claims: { plan: "free" } });
  const ask = (name: string) => `(call $room_claim (i32.const 0) (i32.const ${name.length}))`;
  const more = (name: string) => ({ more: DATA(0, name) });
  const [has] = apply({ apply: answer(ask("plan")), ...more("plan") }, [entry]);
  assert.equal(text(has!.outcome.answer), "free");
  for (const name of ["nope", "toString", "__proto__"]) {
    const [not] = apply({ apply: ask(name), ...more(name) }, [entry]);
    assert.equal(not!.outcome.kind, "applied", `${name} is absent: 0 is returned, which applies`);
  }
  // No name is so long: such bytes are not read as a text.
  const long = `(memory.fill (i32.const 0) (i32.const 255) (i32.const 1025))`;
  const [far] = apply({ apply: `${long} (call $room_claim (i32.const 0) (i32.const 1025))` }, [
    entry,
  ]);
  assert.equal(far!.outcome.kind, "applied");
});

Deno.test("time, offset and randomness are those of the entry", () => {
  const store = (at: number, value: string) => `(i64.store (i32.const ${at}) ${value})`;
  const [step] = apply({
    apply: `${store(0, "(call $room_now)")} ${store(8, "(call $room_offset)")}
      ${store(16, "(call $room_random)")} ${store(24, "(call $room_random)")}
      (call $room_answer (i32.const 0) (i32.const 32)) (i32.const 0)`,
  }, [command(7, { time_ms: 1_234 })]);
  const view = new DataView(step!.outcome.answer.slice().buffer);
  assert.equal(view.getBigInt64(0, true), 1_234n);
  assert.equal(view.getBigInt64(8, true), 7n);
  assert.notEqual(view.getBigInt64(16, true), view.getBigInt64(24, true));
});

Deno.test("what it writes it reads, deletes and scans", () => {
  const write = (key: number) =>
    `(call $room_write (i32.const ${key}) (i32.const 2) (i32.const 10) (i32.const 3))`;
  const data = { more: DATA(0, "k1k2k3") + DATA(10, "abc") };
  const read = answer(`(call $room_read (i32.const 2) (i32.const 2))`);
  const [step] = apply({
    apply: `${read.replace("(local.set", `${write(2)} (local.set`)}`,
    ...data,
  });
  assert.equal(text(step!.outcome.answer), "abc");
  const scan = (most: number) =>
    `(call $room_scan (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const ${most}))`;
  const all = `${write(0)} ${write(2)} ${write(4)}
    (call $room_delete (i32.const 2) (i32.const 2)) (local.set`;
  const [scanned] = apply({ apply: answer(scan(9)).replace("(local.set", all), ...data });
  const packed = (key: string) => `\x02\0\0\0${key}\x03\0\0\0abc`;
  assert.equal(text(scanned!.outcome.answer), packed("k1") + packed("k3"));
  const [first] = apply({ apply: answer(scan(1)).replace("(local.set", all), ...data });
  assert.equal(text(first!.outcome.answer), packed("k1"));
  const [none] = apply({ apply: answer(scan(0)), ...data });
  assert.match(none!.outcome.detail, /room_scan: 0 entries; at least 1/);
});

Deno.test("a scan hands over 64 KiB, or one entry that is larger", () => {
  const scan =
    `(call $room_scan (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 9))`;
  const write = (key: number, size: number) =>
    `(call $room_write (i32.const ${key}) (i32.const 1) (i32.const 0) (i32.const ${size}))`;
  const size = (writes: string) => {
    const apply_text = `${writes} (i32.store (i32.const 0) (i32.load ${scan}))
      (call $room_answer (i32.const 0) (i32.const 4)) (i32.const 0)`;
    const [step] = apply({ apply: apply_text, more: DATA(0, "abc"), alloc: GROWING });
    assert.equal(step!.outcome.kind, "applied", step!.outcome.detail);
    return new DataView(step!.outcome.answer.slice().buffer).getUint32(0, true);
  };
  assert.equal(size(write(0, 30_000) + write(1, 30_000) + write(2, 30_000)), 2 * 30_009);
  assert.equal(size(write(0, 65_536)), 65_545);
});

/** Allocates memory above the first page. */
const GROWING = `(func (export "arqon_alloc") (param i32) (result i32)
  (i32.mul (memory.grow (i32.const 2)) (i32.const 65536)))`;

Deno.test("only values are kept from command to command", () => {
  const steps = apply({
    more: `(global $seen (mut i32) (i32.const 0)) ${DATA(100, "\\00")}`,
    apply: `(i32.store8 (i32.const 0) (global.get $seen))
      (i32.store8 (i32.const 1) (i32.load8_u (i32.const 100)))
      (global.set $seen (i32.const 7)) (i32.store8 (i32.const 100) (i32.const 7))
      (call $room_answer (i32.const 0) (i32.const 2)) (i32.const 0)`,
  }, [command(1), command(2)]);
  assert.deepEqual(steps.map(({ outcome }) => outcome.answer.toHex()), ["0000", "0000"]);
});

Deno.test("memory that a command has grown is not there in the next one", () => {
  const steps = apply({
    apply: `(i32.store (i32.const 0) (memory.size)) (drop (memory.grow (i32.const 1)))
      (call $room_answer (i32.const 0) (i32.const 4)) (i32.const 0)`,
  }, [command(1), command(2)]);
  assert.deepEqual(steps.map(({ outcome }) => outcome.answer[0]), [1, 1]);
});

Deno.test("a reducer that fails is refused with its error, and changes nothing", () => {
  for (const [name, guest, fault, detail] of HOSTILE) {
    const wrote = { ...guest, apply: `${WRITES} ${guest.apply}` };
    const ran = apply(name === "cannot begin" ? guest : wrote, [command(1), command(2)]);
    for (const { state, outcome, run } of ran) {
      assert.equal(outcome.kind, "fault", name);
      assert.equal(outcome.fault, fault, `${name}: ${outcome.detail}`);
      assert.match(outcome.detail, detail, name);
      assert.equal(outcome.reason, `reducer-${fault}`);
      assert.equal(state.values.size, 0, name);
      assert.deepEqual(outcome.events, [], name);
      assert.ok(run.units <= FUEL * UNITS_PER_FUEL, name);
    }
  }
});

Deno.test("a rejection has the reducer's words, and what was written does not count", () => {
  const reject = (size: number) =>
    `${WRITES} (call $room_reject (i32.const 409) (i32.const 16) (i32.const ${size})) (i32.const 0)`;
  const [step] = apply({ apply: reject(4), more: DATA(16, "sold") });
  const { kind, code, reason } = step!.outcome;
  assert.deepEqual({ kind, code, reason }, { kind: "rejected", code: 409, reason: "sold" });
  assert.equal(step!.state.values.size, 0);
  const [long] = apply({ apply: reject(600), more: DATA(16, "\\c3\\a9".repeat(300)) });
  assert.equal(long!.outcome.reason, "é".repeat(256));
  const [bare] = apply({ apply: `(i32.const 5)` });
  assert.deepEqual([bare!.outcome.kind, bare!.outcome.code], ["rejected", 403]);
});

Deno.test("a command costs the same fuel whatever ran before it", () => {
  const guest = {
    apply: `${WRITES} ${EMIT} ${answer("(call $room_field (i32.const 0))")}`
      .replace(/^([\s\S]*?)(\(local \$v i32\))/, "$2 $1"),
  };
  const steps = apply(guest, [1, 2, 3].map((at) => command(at)));
  assert.deepEqual(steps.map(({ outcome }) => outcome.kind), ["applied", "applied", "applied"]);
  assert.equal(new Set(steps.map(({ run }) => run.units)).size, 1);
});

Deno.test("log lines are cut and counted", () => {
  const log = `(call $room_log (i32.const 9) (i32.const 0) (i32.const 2000))`;
  const [step] = apply({ apply: `${log.repeat(40)} (i32.const 0)` });
  assert.equal(step!.run.logs.length, 32);
  assert.deepEqual(step!.run.logs[0], { level: 1, message: "\0".repeat(1_024) });
});
