/** Log lines: their form, and that nothing given to them can break it. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { ArqonError } from "@arqon/proto";
import { anyCharacter } from "../testing/any_character.ts";
import { createLogger, type LogFields, type LogFormat, type Logger, type LogLevel } from "./log.ts";

const time_ms = Date.UTC(2026, 4, 6, 7, 8, 9, 10);

function capture(format: LogFormat = "logfmt", level: LogLevel = "debug") {
  const lines: string[] = [];
  const log: Logger = createLogger({
    level,
    format,
    component: "overseer",
    now: () => time_ms,
    write: (line) => lines.push(line),
  });
  return { log, lines };
}

function one(fields?: LogFields, msg = "m", format: LogFormat = "logfmt"): string {
  const { log, lines } = capture(format);
  log.info(msg, fields);
  assert.equal(lines.length, 1);
  return lines[0] ?? "";
}

/** A strict logfmt reader: fails on anything that is not key=value pairs split by one space. */
function parseLogfmt(line: string): [string, string][] {
  assert.ok(line.endsWith("\n"));
  const pairs: [string, string][] = [];
  const pair = /([A-Za-z0-9_.-]+)=("(?:[^"\\]|\\.)*"|[^\s"=\\]+)( |$)/y;
  const text = line.slice(0, -1);
  while (pair.lastIndex < text.length) {
    const at = pair.lastIndex;
    const match = pair.exec(text);
    assert.ok(match !== null, `not logfmt at ${at}: ${line}`);
    const value = match[2] ?? "";
    pairs.push([match[1] ?? "", value.startsWith('"') ? JSON.parse(value) : value]);
  }
  return pairs;
}

// deno-lint-ignore no-control-regex
const UNSAFE = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/;
const text = fc.oneof(
  fc.string({ unit: anyCharacter, maxLength: 3_000 }),
  fc.constantFrom('a"b', "a\\", "\n", "a\r\nlevel=error msg=x", "\u0085", "\u2028", "\u202e", "="),
);
const fields = fc.dictionary(text, fc.oneof(text, fc.anything()), { maxKeys: 8 });

Deno.test("a logfmt line has the form of the contract, with the time last", () => {
  assert.equal(
    one({ module: "auth_policy" }, "policy loaded"),
    'level=info component=overseer module=auth_policy msg="policy loaded" ts=2026-05-06T07:08:09.010Z\n',
  );
});

Deno.test("a JSON line has the time first and keeps numbers and booleans", () => {
  assert.equal(
    one({ module: "hub", count: 3, ok: true, none: null }, "done", "json"),
    '{"ts":"2026-05-06T07:08:09.010Z","level":"info","component":"overseer","module":"hub",' +
      '"count":3,"ok":true,"none":null,"msg":"done"}\n',
  );
});

Deno.test("lines below the level are not written, and cost no clock", () => {
  let reads = 0;
  const lines: string[] = [];
  const log = createLogger({
    level: "warn",
    format: "logfmt",
    component: "x",
    now: () => reads++,
    write: (line) => lines.push(line),
  });
  log.debug("a");
  log.info("b");
  assert.equal(reads, 0);
  log.warn("c");
  log.error("d");
  assert.deepEqual(lines.map((line) => line.split(" ")[0]), ["level=warn", "level=error"]);
});

Deno.test("a child adds its fields to every line, and a field of the line itself wins", () => {
  const { log, lines } = capture();
  const child = log.child({ module: "hub", room: "a" }).child({ tenant_id: "acme" });
  child.info("x", { room: "b" });
  child.info("y");
  log.info("z");
  const found = lines.map((line) => Object.fromEntries(parseLogfmt(line)));
  assert.deepEqual(found.map((line) => [line.module, line.room, line.tenant_id]), [
    ["hub", "b", "acme"],
    ["hub", "a", "acme"],
    [undefined, undefined, undefined],
  ]);
});

Deno.test("the types enforce tenant_id for a tenant, in a line and in a child", () => {
  const { log } = capture();
  // @ts-expect-error one name for one thing
  log.info("x", { tenant: "acme" });
  // @ts-expect-error a child's too
  log.child({ tenant: "acme" });
  const fields = { tenant: "acme", room: "a" };
  // @ts-expect-error nor by a detour
  log.warn("x", fields);
  log.info("x", { tenant_id: "acme" });
});

Deno.test("a field cannot pose as level, component, msg or ts", () => {
  const line = one({ level: "error", component: "fake", msg: "fake", ts: "fake" });
  const pairs = parseLogfmt(line);
  assert.deepEqual(pairs.map(([name]) => name), [
    "level",
    "component",
    "level_",
    "component_",
    "msg_",
    "ts_",
    "msg",
    "ts",
  ]);
});

Deno.test("any message and any fields give exactly one logfmt line that reads back", () => {
  fc.assert(fc.property(text, fields, (msg, given) => {
    const line = one(given, msg);
    assert.equal(line.indexOf("\n"), line.length - 1);
    assert.doesNotMatch(line, UNSAFE);
    const pairs = parseLogfmt(line);
    assert.deepEqual(pairs[0], ["level", "info"]);
    assert.deepEqual(pairs[1], ["component", "overseer"]);
    assert.deepEqual(pairs.at(-1), ["ts", "2026-05-06T07:08:09.010Z"]);
    const expected = msg.length <= 1_024 ? msg : `${msg.slice(0, 1_024)}…`;
    assert.deepEqual(pairs.at(-2), ["msg", expected.toWellFormed()]);
    assert.equal(new Set(pairs.map(([name]) => name)).size, pairs.length);
  }));
});

Deno.test("any message and any fields give exactly one JSON line that reads back", () => {
  fc.assert(fc.property(text, fields, (msg, given) => {
    const line = one(given, msg, "json");
    assert.equal(line.indexOf("\n"), line.length - 1);
    assert.doesNotMatch(line, UNSAFE);
    const parsed = JSON.parse(line);
    assert.equal(parsed.level, "info");
    assert.equal(parsed.component, "overseer");
    const expected = msg.length <= 1_024 ? msg : `${msg.slice(0, 1_024)}…`;
    assert.equal(parsed.msg, expected.toWellFormed());
  }));
});

Deno.test("a text field reads back in both forms", () => {
  fc.assert(fc.property(fc.string({ unit: "grapheme", maxLength: 200 }), (value) => {
    fc.pre(value.length <= 1_024);
    const pairs = parseLogfmt(one({ field: value }));
    assert.deepEqual(pairs[2], ["field", value]);
    assert.equal(JSON.parse(one({ field: value }, "m", "json")).field, value);
  }));
});

Deno.test("values are bounded to 1,024 characters and fields to 64", () => {
  const long = Object.fromEntries(parseLogfmt(one({ a: "x".repeat(5_000) }))).a ?? "";
  assert.equal(long, "x".repeat(1_024) + "…");
  const many = Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`f${index}`, index]));
  assert.equal(parseLogfmt(one(many)).length, 64 + 4);
  const name = parseLogfmt(one({ ["n".repeat(500)]: 1 }))[2]?.[0] ?? "";
  assert.equal(name.length, 64);
});

Deno.test("values that JSON does not know are written as text", () => {
  const cycle: Record<string, unknown> = {};
  cycle.self = cycle;
  const values = Object.fromEntries(parseLogfmt(one({
    bytes: new Uint8Array([0, 255]),
    many_bytes: new Uint8Array(1_000),
    big: 2n ** 64n,
    nested: { big: 1n },
    nan: NaN,
    left_out: undefined,
    none: null,
    cycle,
    symbol: Symbol("s"),
    empty: "",
  })));
  assert.equal(values.bytes, "00ff");
  assert.match(values.many_bytes ?? "", /^(00){256}…\(1000 bytes\)$/);
  assert.equal(values.big, "18446744073709551616");
  assert.equal(values.nested, '{"big":"1"}');
  assert.equal(values.nan, "NaN");
  assert.equal("left_out" in values, false);
  assert.equal(values.none, "null");
  assert.equal(values.cycle, "[unprintable]");
  assert.equal(values.symbol, "Symbol(s)");
  assert.equal(values.empty, "");
});

Deno.test("a refusal logs its reason, any other error its stack, both with their cause", () => {
  const refusal = new ArqonError("spine-unavailable", "down", { cause: new Error("ECONNRESET") });
  const known = Object.fromEntries(parseLogfmt(one({ error: refusal }))).error ?? "";
  assert.equal(known, "spine-unavailable: Spine unavailable: down; caused by ECONNRESET");
  const bug = Object.fromEntries(parseLogfmt(one({ error: new TypeError("boom") }))).error ?? "";
  const internal = new ArqonError("internal", "", { cause: new TypeError("boom") });
  const hidden = Object.fromEntries(parseLogfmt(one({ error: internal }))).error ?? "";
  assert.match(hidden, /^internal: Internal error; caused by TypeError: boom\n {4}at .*log_test/);
  assert.match(bug, /^TypeError: boom\n {4}at .*log_test\.ts/);
});
