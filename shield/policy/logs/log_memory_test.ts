/** The lines of policies that a Shield remembers: of which tenant, how many, and the limits. */
import assert from "node:assert/strict";
import { LogMemory } from "./log_memory.ts";
import type { PolicyLog } from "../../../shared/records/verdict.ts";

const NOW_MS = 1_767_323_045_000;
const line = (message: string, level = 1): PolicyLog => ({ name: "bad-words", level, message });
const now = () => NOW_MS;
const messages = (text: string) =>
  text.split("\n").filter((one) => one !== "").map((one) => JSON.parse(one).message);

Deno.test("a tenant's lines are remembered as NDJSON, without those of others", () => {
  const memory = new LogMemory({ lines_max: 10, now });
  memory.remember("acme", [line("one\n", 3), line("two")]);
  memory.remember("other", [line("three")]);
  assert.deepEqual(memory.read("acme").trimEnd().split("\n").map((text) => JSON.parse(text)), [
    { ts: "2026-01-02T03:04:05.000Z", policy: "bad-words", level: "error", message: "one\n" },
    { ts: "2026-01-02T03:04:05.000Z", policy: "bad-words", level: "info", message: "two" },
  ]);
  assert.equal(memory.read("nobody"), "");
  assert.equal(memory.size, 3);
});

Deno.test("lines, characters and tenants are limited, and the oldest are dropped first", () => {
  const memory = new LogMemory({ lines_max: 3, characters_max: 60, tenants_max: 2, now });
  memory.remember("acme", ["1", "2", "3", "4", "5"].map((text) => line(text)));
  assert.deepEqual(messages(memory.read("acme")), ["3", "4", "5"]);
  memory.remember("acme", [line("x".repeat(45))]);
  assert.deepEqual(messages(memory.read("acme")), ["x".repeat(45)]);
  memory.remember("acme", [line("y".repeat(100))]);
  assert.deepEqual(
    [memory.read("acme"), memory.size],
    ["", 0],
    "a line that is too long is not kept",
  );
  memory.remember("acme", [line("a")]);
  memory.remember("beta", [line("b")]);
  memory.remember("acme", [line("c")]);
  memory.remember("gamma", [line("d")]);
  assert.deepEqual(messages(memory.read("acme")), ["a", "c"]);
  assert.equal(memory.read("beta"), "", "this tenant was inactive for longest");
  assert.equal(memory.size, 3);
});

Deno.test("with a limit of 0 no line is remembered", () => {
  const memory = new LogMemory({ lines_max: 0, now });
  memory.remember("acme", [line("one")]);
  assert.deepEqual([memory.read("acme"), memory.size], ["", 0]);
});
