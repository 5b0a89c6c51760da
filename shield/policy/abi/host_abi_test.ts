/** The six functions of `arqon_host_v1`, with guests that use them correctly and incorrectly, on this thread. */
import assert from "node:assert/strict";
import { type GuestOutcome, instantiateGuest } from "./host_abi.ts";
import { asciiLower, type GuestRequest } from "./host_functions.ts";
import { type GuestText, meteredGuest, unmeteredGuest } from "../testing/guests.ts";

const encoder = new TextEncoder();
const FUEL = 10_000;

function request(more: Partial<GuestRequest> = {}): GuestRequest {
  return { header: () => undefined, claim: () => undefined, payload: new Uint8Array(), ...more };
}

function guestOf(text: GuestText) {
  return instantiateGuest({ compiled: new WebAssembly.Module(meteredGuest(text)) });
}

function run(text: GuestText, more: Partial<GuestRequest> = {}): GuestOutcome {
  return guestOf(text).call("on_message", request(more), FUEL);
}

/** The fault, and what was wrong. */
function faultOf(body: string, more: Partial<GuestText> = {}): [string | undefined, string] {
  const outcome = run({ body, ...more });
  assert.equal(outcome.allowed, false);
  if (outcome.fault !== undefined) assert.equal(outcome.broken, true);
  return [outcome.fault, outcome.detail];
}

Deno.test("a hook allows with 0 and refuses with 403 with anything else", () => {
  assert.equal(run({ body: "i32.const 0" }).allowed, true);
  const refused = run({ body: "i32.const -7" });
  assert.deepEqual([refused.allowed, refused.code, refused.reason], [false, 403, ""]);
  assert.equal(refused.broken, false);
});

Deno.test("host_reject ends the call at once and keeps the instance", () => {
  const guest = guestOf({
    more: '(data (i32.const 0) "no swearing")',
    body: `(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
      (if (i32.eq (global.get $calls) (i32.const 3)) (then (return (i32.const 0))))
      (call $reject (i32.const 451) (i32.const 0) (i32.const 11)) unreachable`,
  });
  for (let call = 0; call < 2; call++) {
    const outcome = guest.call("on_message", request(), FUEL);
    assert.deepEqual([outcome.code, outcome.reason], [451, "no swearing"]);
    assert.deepEqual([outcome.fault, outcome.broken], [undefined, false]);
  }
  assert.equal(guest.call("on_message", request(), FUEL).allowed, true);
});

Deno.test("host_reject restores an exported stack pointer", () => {
  const guest = guestOf({
    more: '(global $sp (export "__stack_pointer") (mut i32) (i32.const 4096))',
    body: `(if (i32.ne (global.get $sp) (i32.const 4096)) (then unreachable))
      (global.set $sp (i32.const 4000))
      (call $reject (i32.const 403) (i32.const 0) (i32.const 0)) i32.const 0`,
  });
  for (let call = 0; call < 3; call++) {
    assert.equal(guest.call("on_message", request(), FUEL).fault, undefined);
  }
});

Deno.test("a reject code outside 400 to 599 is a fault", () => {
  const rejects = (code: number) =>
    `(call $reject (i32.const ${code}) (i32.const 0) (i32.const 0)) i32.const 0`;
  for (const code of [400, 599]) assert.equal(run({ body: rejects(code) }).code, code);
  for (const code of [0, 399, 600, 70_000, -1, 200]) {
    const [fault, detail] = faultOf(rejects(code));
    assert.equal(fault, "abi");
    assert.equal(detail, `host_reject: code ${code} is not within 400 to 599`);
  }
});

Deno.test("a reason is cut at 512 bytes, between characters", () => {
  // 511 bytes of "a", then a character of two bytes across the cut.
  const body = `(memory.fill (i32.const 0) (i32.const 97) (i32.const 511))
    (i32.store16 (i32.const 511) (i32.const 0xa9c3))
    (call $reject (i32.const 403) (i32.const 0) (i32.const 513)) i32.const 0`;
  assert.equal(run({ body }).reason, "a".repeat(511));
});

Deno.test("a guest reads headers in any case, claims and the payload", () => {
  const outcome = run({
    more: '(data (i32.const 0) "X-Room") (data (i32.const 16) "sub") (data (i32.const 32) "none")',
    body: `(call $show (call $get_header (i32.const 0) (i32.const 6)))
      (call $show (call $get_claim (i32.const 16) (i32.const 3)))
      (call $show (call $get_header (i32.const 32) (i32.const 4)))
      (call $show (call $get_claim (i32.const 32) (i32.const 4)))
      (call $show (call $get_payload)) i32.const 0`,
  }, {
    header: (name) => name === "x-room" ? "lobby é" : undefined,
    claim: (name) => name === "sub" ? "alice" : undefined,
    payload: encoder.encode("hello"),
  });
  assert.deepEqual(outcome.logs.map(({ message }) => message), ["lobby é", "alice", "hello"]);
});

const CALLS: Record<string, (pointer: string, size: string) => string> = {
  host_get_header: (at, size) => `(drop (call $get_header ${at} ${size}))`,
  host_get_claim: (at, size) => `(drop (call $get_claim ${at} ${size}))`,
  "host_add_header name": (at, size) =>
    `(call $add_header ${at} ${size} (i32.const 0) (i32.const 0))`,
  "host_add_header value": (at, size) =>
    `(call $add_header (i32.const 0) (i32.const 1) ${at} ${size})`,
  host_log: (at, size) => `(call $log (i32.const 1) ${at} ${size})`,
  host_reject: (at, size) => `(call $reject (i32.const 403) ${at} ${size})`,
};

for (const [name, write] of Object.entries(CALLS)) {
  Deno.test(`${name}: every pointer and length is checked`, () => {
    const outside = [[65_536, 1], [0, 65_537], [65_535, 2], [-1, -1], [-1, 1], [16, -16]];
    for (const [pointer, size] of outside) {
      const body = `${write(`(i32.const ${pointer})`, `(i32.const ${size})`)} i32.const 0`;
      // Lengths are charged before they are checked, so only enough fuel for 4 GiB shows the check.
      const guest = guestOf({ body, more: '(data (i32.const 0) "x")' });
      const outcome = guest.call("on_message", request(), 10_000_000);
      assert.equal(outcome.fault, "abi", `${pointer} ${size}: ${outcome.detail}`);
      assert.match(outcome.detail, /outside of the memory of 65536/);
    }
    const body = `${write("(i32.const 65536)", "(i32.const 0)")} i32.const 0`;
    const edge = run({ body, more: '(data (i32.const 0) "x")' });
    assert.doesNotMatch(edge.detail, /outside/);
  });
}

Deno.test("a name of more than 256 bytes is a fault before any use", () => {
  const names: string[] = [];
  const more = {
    header: (name: string) => void names.push(name),
    claim: (name: string) => void names.push(name),
  };
  for (const call of ["$get_header", "$get_claim"]) {
    for (const [size, fault] of [[256, undefined], [257, "abi"], [60_000, "abi"]] as const) {
      const body = `(memory.fill (i32.const 0) (i32.const 65) (i32.const ${size}))
        (drop (call ${call} (i32.const 0) (i32.const ${size}))) i32.const 0`;
      const outcome = run({ body }, more);
      assert.equal(outcome.fault, fault, `${call} ${size}`);
      if (fault !== undefined) {
        assert.match(outcome.detail, /name: \d+ bytes; at most 256 are allowed$/);
      }
    }
  }
  assert.deepEqual(names, ["a".repeat(256), "A".repeat(256)]);
});

Deno.test("the first read of a call pays for all headers and claims, and further reads do not", () => {
  const ask = "(drop (call $get_claim (i32.const 0) (i32.const 1)))";
  const units = (body: string, asking_bytes: number) =>
    run({ body: `${body} i32.const 0` }, { asking_bytes }).units;
  const without = units(ask, 0);
  const once = units(ask, 1_000);
  const twice = units(ask + ask, 1_000);
  assert.equal(once - without, 8_000);
  assert.equal(twice - once, without - units("", 1_000));
  assert.equal(run({ body: `${ask} i32.const 0` }, { asking_bytes: 1_000_000 }).fault, "fuel");
});

Deno.test("a call that does not return pays for its unwinding, as far as it has fuel", () => {
  const more = `(func $down (param i32) (result i32) (if (i32.eqz (local.get 0)) (then unreachable))
    (i32.add (call $down (i32.sub (local.get 0) (i32.const 1))) (i32.const 0)))`;
  const trap = (depth: number, fuel = FUEL) => {
    const guest = guestOf({ more, body: `(call $down (i32.const ${depth}))` });
    return guest.call("on_message", request(), fuel);
  };
  assert.ok(trap(0).units > 20_000);
  assert.ok(trap(1_000).units > trap(0).units + 1_000 * 50, String(trap(1_000).units));
  assert.deepEqual([trap(0, 10).fault, trap(0, 10).units], ["trap", 5_000]);
});

Deno.test("names are lowered in ASCII only, whatever other characters they have", () => {
  assert.equal(asciiLower("X-Arqon-ROOM"), "x-arqon-room");
  assert.equal(asciiLower("\u00c9A\u212aZ\u{1f600}\ufeffB"), "\u00c9a\u212az\u{1f600}\ufeffb");
  assert.equal(asciiLower(""), "");
});

Deno.test("a length of 2^32 - 1 costs more than the largest fuel", () => {
  const [fault] = faultOf("(call $log (i32.const 1) (i32.const 0) (i32.const -1)) i32.const 0");
  assert.equal(fault, "fuel");
});

Deno.test("a pointer from arqon_alloc is checked like any other", () => {
  const body = "(drop (call $get_payload)) i32.const 0";
  assert.equal(faultOf(body, { alloc: "i32.const 0" })[0], "memory");
  for (const at of [65_536, -1, 65_533, -4]) {
    assert.equal(faultOf(body, { alloc: `i32.const ${at}` })[0], "abi", String(at));
  }
  assert.equal(run({ body, alloc: "i32.const 65532" }).allowed, true);
});

Deno.test("an answer may overlap the name that was passed", () => {
  const outcome = run({
    more: '(data (i32.const 0) "name")',
    alloc: "i32.const 0 i32.const 2 i32.add",
    body: `(call $show (call $get_header (i32.const 0) (i32.const 4))) i32.const 0`,
  }, { header: () => "overlapping" });
  assert.deepEqual(outcome.logs, [{ level: 1, message: "overlapping" }]);
});

Deno.test("arqon_alloc that loops, traps or calls the host fails its call", () => {
  const body = "(drop (call $get_payload)) i32.const 0";
  assert.equal(faultOf(body, { alloc: "(loop $l (br $l)) i32.const 0" })[0], "fuel");
  assert.equal(faultOf(body, { alloc: "unreachable" })[0], "trap");
  const logs = "(call $log (i32.const 0) (i32.const 0) (i32.const 0)) i32.const 8";
  for (const alloc of ["call $get_payload", logs]) {
    assert.notEqual(faultOf(body, { alloc })[0], undefined);
  }
  const { compiled } = unmeteredGuest({ body, alloc: "call $get_payload" });
  const unmetered = instantiateGuest({ compiled });
  const outcome = unmetered.call("on_message", request(), FUEL);
  assert.deepEqual([outcome.fault, outcome.detail], ["abi", "arqon_alloc called the host"]);
});

Deno.test("a call adds at most 64 headers", () => {
  const adding = (count: number) =>
    `(local.set $i (i32.const ${count}))
     (loop $l (call $add_header (i32.const 0) (i32.const 3) (i32.const 8) (i32.const 2))
       (br_if $l (local.tee $i (i32.sub (local.get $i) (i32.const 1))))) i32.const 0`;
  const more = '(data (i32.const 0) "X-A") (data (i32.const 8) "ok")';
  const outcome = run({ more, body: adding(64) });
  assert.equal(outcome.added_headers.length, 64);
  assert.deepEqual(outcome.added_headers[0], ["X-A", "ok"]);
  for (const count of [65, 10_000]) assert.equal(faultOf(adding(count), { more })[0], "abi");
});

Deno.test("illegal header names and values are faults", () => {
  const add = (name: string, value: string) => {
    const hex = (text: string) =>
      [...encoder.encode(text)].map((byte) => `\\${byte.toString(16).padStart(2, "0")}`).join("");
    const sizes = [encoder.encode(name).length, encoder.encode(value).length];
    return run({
      more: `(data (i32.const 0) "${hex(name)}") (data (i32.const 512) "${hex(value)}")`,
      body: `(call $add_header (i32.const 0) (i32.const ${sizes[0]})
        (i32.const 512) (i32.const ${sizes[1]})) i32.const 0`,
    });
  };
  const reserved = ["x-arqon-tenant", "X-ARQON-x", "X-Twist-ID", "x-timestamp"];
  for (const name of ["", "a b", "a:b", "é", "x\n", "a".repeat(257), ...reserved]) {
    assert.equal(add(name, "v").fault, "abi", name);
  }
  for (const value of ["a\r\nb", "\u0000", "\u007f"]) assert.equal(add("x-a", value).fault, "abi");
  assert.deepEqual(add("x-a", "tab\tand é").added_headers, [["x-a", "tab\tand é"]]);
  const broken = run({
    more: '(data (i32.const 0) "x\\ff")',
    body: `(call $add_header (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 1)) i32.const 0`,
  });
  assert.deepEqual([broken.fault, broken.detail], ["abi", "header value: not UTF-8"]);
});

Deno.test("log lines are cut and counted, and levels are checked", () => {
  const outcome = run({
    body: `(memory.fill (i32.const 0) (i32.const 97) (i32.const 2000))
      (call $log (i32.const 3) (i32.const 0) (i32.const 2000))
      (call $log (i32.const 9) (i32.const 0) (i32.const 1))
      (call $log (i32.const -1) (i32.const 0) (i32.const 1))
      (local.set $i (i32.const 100))
      (loop $l (call $log (i32.const 0) (i32.const 0) (i32.const 1))
        (br_if $l (local.tee $i (i32.sub (local.get $i) (i32.const 1))))) i32.const 0`,
  });
  assert.equal(outcome.allowed, true);
  assert.deepEqual(outcome.logs[0], { level: 3, message: "a".repeat(1_024) });
  assert.deepEqual(outcome.logs.slice(1, 4).map(({ level }) => level), [1, 1, 0]);
  assert.equal(outcome.logs.length, 32);
});

Deno.test("fuel exhaustion is deterministic", () => {
  const body = `(call $show (call $get_payload))
    (local.set $i (i32.const 1000))
    (loop $l (br_if $l (local.tee $i (i32.sub (local.get $i) (i32.const 1))))) i32.const 0`;
  const payload = encoder.encode("the same every time");
  const units = run({ body }, { payload }).units;
  assert.ok(units > 3_000, String(units));
  for (let time = 0; time < 5; time++) assert.equal(run({ body }, { payload }).units, units);
  const guest = guestOf({ body });
  const enough = guest.call("on_message", request({ payload }), units / 500);
  assert.deepEqual([enough.allowed, enough.units], [true, units]);
  const short = guestOf({ body }).call("on_message", request({ payload }), (units - 1) / 500);
  assert.deepEqual([short.fault, short.units], ["fuel", units - 1]);
});

Deno.test("calling a hook that the module does not have is a fault", () => {
  const outcome = guestOf({ body: "i32.const 0" }).call("on_connect", request(), FUEL);
  assert.equal(outcome.fault, "abi");
  assert.equal(outcome.detail, "the module does not export arqon_on_connect");
});

Deno.test("a module without the exports that the host needs is not instantiated", () => {
  const empty = new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]));
  assert.throws(() => instantiateGuest({ compiled: empty }), TypeError);
});
