/** Fair slices in the worker that runs reducers: a room that applies many entries, also from a log, lets others run. */
import assert from "node:assert/strict";
import { configFrom } from "../../../shared/config/load.ts";
import { programOf } from "../log/program.ts";
import { moduleOf } from "../testing/guest_text.ts";
import type { GuestText } from "../testing/hostile_reducers.ts";
import { encodeSnapshot, unpackSnapshot } from "../state/snapshot.ts";
import { emptyRoom } from "../state/room_state.ts";
import { command } from "../testing/rooms.ts";
import { Compiling, ReducerHost } from "./host.ts";
import { atEnd } from "../../../shared/testing/at_end.ts";

const PAYLOAD_MAX = 1_048_576;
const ALL = { may_stop: false, shown: [] };
const ENTRIES = 200;

function program(guest: GuestText, pages = 1) {
  const { reducers: [entry] } = configFrom({ reducers: [{ name: "r", file: "r" }] });
  return programOf(entry!, moduleOf(guest, pages), PAYLOAD_MAX);
}

const EXPENSIVE: Readonly<Record<string, GuestText>> = {
  "that never ends": { apply: `(loop $l (br $l)) (i32.const 0)` },
  "with an expensive instance": {
    apply: `(table.set $t (i32.const 0) (ref.null func)) (i32.const 0)`,
    more: `(table $t 10000 funcref)`,
  },
};

for (const [name, guest] of Object.entries(EXPENSIVE)) {
  Deno.test(`many entries of a reducer ${name} are applied in turns with another room's`, async () => {
    const host = new ReducerHost(() => {});
    await using _end = atEnd(() => host.end());
    const busy = program(guest);
    const other = program({ apply: `(i32.const 0)` });
    for (const one of [busy, other]) await host.check(one);
    const first = await host.open({ tenant_id: "t", room_id: "a" }, undefined);
    const second = await host.open({ tenant_id: "t", room_id: "b" }, undefined);
    const entries = Array.from({ length: ENTRIES }, (_, at) => command(at + 1));
    const done: string[] = [];
    const many = host.apply(first.handle, busy, entries, ALL).then((all) => {
      done.push("many");
      return all;
    });
    await host.apply(second.handle, other, [command(1)], ALL).then(() => done.push("one"));
    const { applied, standing } = await many;
    assert.deepEqual(done, ["one", "many"]);
    assert.deepEqual(applied.map(({ offset }) => offset), entries.map(({ offset }) => offset));
    assert.equal(standing.offset, ENTRIES);
  });
}

Deno.test("tenants with long-running commands share one slot of the thread, for short turns", async () => {
  const host = new ReducerHost(() => {});
  await using _end = atEnd(() => host.end());
  const busy = program(EXPENSIVE["that never ends"]!);
  const plain = program({ apply: `(i32.const 0)` });
  for (const one of [busy, plain]) await host.check(one);
  const rooms = await Promise.all(
    ["one", "other", "one", "other"].map((tenant_id, at) =>
      host.open({ tenant_id, room_id: `r${at}` }, undefined)
    ),
  );
  const mine = await host.open({ tenant_id: "quiet", room_id: "r" }, undefined);
  const entries = (from: number) => Array.from({ length: 20 }, (_, at) => command(from + at));
  for (const { handle } of rooms) await host.apply(handle, busy, entries(1), ALL);
  assert.equal(host.slow_tenants, 2);
  const done: string[] = [];
  const all = rooms.map(async ({ handle }) => {
    const { applied } = await host.apply(handle, busy, entries(21), { ...ALL, may_stop: true });
    done.push(...applied.map(() => "busy"));
  });
  await host.apply(mine.handle, plain, [command(1)], ALL).then(() => done.push("quiet"));
  await Promise.all(all);
  assert.ok(done.indexOf("quiet") <= 1, done.join());
});

Deno.test("tenants take turns: the many rooms of one delay no other's", async () => {
  const spent = new Map<string, number>();
  const host = new ReducerHost(
    () => {},
    (tenant_id, units) => void spent.set(tenant_id, (spent.get(tenant_id) ?? 0) + units),
  );
  await using _end = atEnd(() => host.end());
  const busy = program(EXPENSIVE["that never ends"]!);
  await host.check(busy);
  const open = (tenant_id: string, room_id: string) => host.open({ tenant_id, room_id }, undefined);
  const many = await Promise.all(Array.from({ length: 30 }, (_, at) => open("busy", `r${at}`)));
  const mine = await open("quiet", "r");
  const done: string[] = [];
  const entries = [1, 2, 3].map((at) => command(at));
  const all = many.map(({ handle }) =>
    host.apply(handle, busy, entries, ALL).then(() => done.push("busy"))
  );
  await host.apply(mine.handle, busy, [command(1)], ALL).then(() => done.push("quiet"));
  await Promise.all(all);
  // The requests in the worker, and one that has used as little.
  assert.ok(done.indexOf("quiet") <= 4, done.join());
  assert.ok(spent.get("busy")! > 80 * spent.get("quiet")! * 0.9, JSON.stringify([...spent]));
});

Deno.test("reading a room, its values and writing it are charged, too", async () => {
  let units = 0;
  const host = new ReducerHost(() => {}, (_tenant_id, more) => void (units += more));
  const spent = () => {
    const of = units;
    units = 0;
    return of;
  };
  await using _end = atEnd(() => host.end());
  const { handle } = await host.open({ tenant_id: "t", room_id: "r" }, undefined);
  assert.ok(spent() > 0, "open");
  await host.values(handle, { prefix: "", after: "", prefixes: [""], max_bytes: 1_000 });
  assert.ok(spent() > 0, "values");
  const snapshot = await host.snapshot(handle);
  assert.ok(spent() > 0, "snapshot");
  await host.open({ tenant_id: "t", room_id: "s" }, snapshot);
  assert.ok(spent() > 0, "open from a snapshot");
  host.rest(handle);
  await host.values(handle, { prefix: "", after: "", prefixes: [""], max_bytes: 1_000 });
  assert.ok(spent() > 0, "awakened");
});

Deno.test("a module that takes long to compile holds up no room", async () => {
  const host = new ReducerHost(() => {});
  await using _end = atEnd(() => host.end());
  const plain = program({ apply: `(i32.const 0)` });
  await host.check(plain);
  const { handle } = await host.open({ tenant_id: "t", room_id: "r" }, undefined);
  const functions = Array.from(
    { length: 8_000 },
    (_, at) => `(func (param i32) (result i32) (i32.mul (local.get 0) (i32.const ${at})))`,
  );
  const large = program({ apply: `(i32.const 0)`, more: functions.join("") });
  const done: string[] = [];
  const checks = [host.check(large), host.metered(large)].map((checked) =>
    checked.then(() => done.push("compiled"))
  );
  await host.apply(handle, plain, [command(1)], ALL).then(() => done.push("applied"));
  await Promise.all(checks);
  assert.deepEqual(done, ["applied", "compiled", "compiled"]);
  // It is available to the room then.
  const { applied } = await host.apply(handle, large, [command(2)], ALL);
  assert.deepEqual(applied.map(({ kind }) => kind), ["applied"]);
});

Deno.test("tenants take turns in compiling: one tenant's many modules do not delay another's", async () => {
  const compiling = new Compiling();
  await using _end = atEnd(() => compiling.end("the test is over"));
  const done: string[] = [];
  const compiled = (tenant_id: string, at: number) =>
    compiling.compile(program({ apply: `(drop (i32.const ${at})) (i32.const 0)` }), tenant_id)
      .then(() => done.push(tenant_id));
  const many = Array.from({ length: 8 }, (_, at) => compiled("many", at));
  await Promise.all([...many, compiled("one", 100)]);
  // The running one, and one that has used as little.
  assert.ok(done.indexOf("one") <= 2, done.join());
});

Deno.test("a module costs its author what makes it slow to compile, and not its bytes alone", async () => {
  let spent = 0;
  const host = new ReducerHost(() => {}, (_tenant, units) => void (spent += units));
  await using _end = atEnd(() => host.end());
  const unitsOf = async (more: string) => {
    const before = spent;
    await host.check(program({ apply: `(i32.const 0)`, more }), "t");
    return spent - before;
  };
  const plain = await unitsOf(`(data "${"x".repeat(20_000)}")`);
  assert.ok(await unitsOf("(func)".repeat(4_000)) > 2 * plain, "functions");
  const locals = `(func (local ${"i32 ".repeat(1_000)}) (block ${
    "(br_if 0 (i32.const 1))".repeat(450)
  }))`;
  assert.ok(await unitsOf(locals.repeat(5)) > 2 * plain, "locals beside branches");
});

Deno.test("a snapshot costs its tenant the time of its compression", async () => {
  const bytes = 1_048_576;
  const state = emptyRoom();
  const values = state.values.with("key", new Uint8Array(bytes));
  const stored = encodeSnapshot({ ...state, values, size_bytes: bytes });
  let spent = 0;
  const host = new ReducerHost(() => {}, (_tenant, units) => void (spent += units));
  await using _end = atEnd(() => host.end());
  const { handle } = await host.open({ tenant_id: "t", room_id: "a" }, stored);
  const before = spent;
  await host.snapshot(handle);
  assert.ok(spent - before >= 30 * bytes, `${spent - before} units`);
});

Deno.test("a large snapshot holds up no room while it is compressed", async () => {
  const bytes = 4_000_000;
  const period = [1, 2, 3, 1, 2, 1];
  const value = Uint8Array.from(
    { length: bytes },
    (_, at) => period[at % (at % 40 === 0 ? 5 : 6)]!,
  );
  const state = emptyRoom();
  const values = state.values.with("key", value);
  const stored = encodeSnapshot({ ...state, values, size_bytes: bytes });
  const host = new ReducerHost(() => {});
  await using _end = atEnd(() => host.end());
  const plain = program({ apply: `(i32.const 0)` });
  const large = await host.open({ tenant_id: "t", room_id: "a" }, stored);
  const { handle } = await host.open({ tenant_id: "other", room_id: "b" }, undefined);
  await host.apply(handle, plain, [command(1)], ALL);
  const done: string[] = [];
  const packed = host.snapshot(large.handle).then((packed) => {
    done.push("packed");
    return packed;
  });
  await host.apply(handle, plain, [command(2)], ALL).then(() => done.push("applied"));
  assert.deepEqual(unpackSnapshot(await packed), stored);
  assert.deepEqual(done, ["applied", "packed"]);
});

Deno.test("the memories of waiting instances are bounded, and who brings one back pays for it", async () => {
  let spent = 0;
  const host = new ReducerHost(() => {}, (_tenant, units) => void (spent += units));
  await using _end = atEnd(() => host.end());
  const { handle } = await host.open({ tenant_id: "t", room_id: "a" }, undefined);
  // 4 MiB each, 160 together.
  const programs = Array.from({ length: 40 }, (_, at) => {
    return { ...program({ apply: `(drop (i32.const ${at})) (i32.const 0)` }, 64), at };
  });
  let offset = 0;
  const unitsOf = async (at: number) => {
    const before = spent;
    await host.apply(handle, programs[at]!, [command(++offset)], ALL);
    return spent - before;
  };
  for (const { at } of programs) await unitsOf(at);
  const last = await unitsOf(39);
  assert.equal(await unitsOf(39), last);
  const again = await unitsOf(0);
  assert.ok(again > last + 64 * 65_536, `${again} units, ${last} when its instance waits`);
  assert.equal(await unitsOf(0), last);
});
