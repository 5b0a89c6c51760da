// The parity table has a tick for proven features only.
import assert from "node:assert/strict";
import { hasTest, renderTable, type SdkInputs } from "./gen_sdks.ts";

const INPUTS: SdkInputs = {
  groups: [{
    name: "Connection",
    features: [
      {
        id: "reconnect",
        name: "Reconnect",
        vectors: ["backoff.json"],
        typescript: { api: "`backoff`" },
        python: { api: "`backoff`" },
      },
      {
        id: "signing",
        name: "Signatures",
        typescript: { api: "`signer`", tests: [["sdk/typescript/a_test.ts", "it signs"]] },
        python: { api: "`signer`", tests: [] },
      },
      { id: "browser", name: "Events", typescript: { api: "by itself" }, python: null },
    ],
  }],
  scenarios: { reconnect: ["a reset", "a close"] },
  vectors: { "backoff.json": 8 },
  results: {
    typescript: {
      vectors: { "backoff.json": 8 },
      scenarios: {
        websocket: { reconnect: ["a reset", "a close"] },
        http: { reconnect: ["a reset", "a close"] },
      },
    },
    python: {
      vectors: { "backoff.json": 8 },
      scenarios: {
        websocket: { reconnect: ["a reset", "a close"] },
        http: { reconnect: ["a reset"] },
      },
    },
  },
  sources: { "sdk/typescript/a_test.ts": 'Deno.test("it signs", () => {});' },
};

Deno.test("a tick needs every scenario and case of the row, or existing tests", () => {
  const table = renderTable(INPUTS);
  assert.match(table, /\| Reconnect \| ✓ `backoff` \(2 S, 8 V\) \| – \|/);
  assert.match(table, /\| Signatures \| ✓ `signer` \(1 T\) \| – \|/);
  assert.match(table, /\| Events \| – \| not needed \|/);
  const fewer = { ...INPUTS, vectors: { "backoff.json": 9 } };
  assert.match(renderTable(fewer), /\| Reconnect \| – \| – \|/);
  assert.match(table, /\| Reconnect \| 2 of 2 \| 2 of 2 \| 2 of 2 \| 1 of 2 \|/);
});

Deno.test("a missing test, a scenario without a row and a duplicate row are errors", () => {
  assert.throws(() => renderTable({ ...INPUTS, sources: {} }), /a_test\.ts has no test "it signs"/);
  assert.throws(
    () => renderTable({ ...INPUTS, scenarios: { drain: ["x"] } }),
    /no row of features\.json has the id "drain"/,
  );
  const groups = [...INPUTS.groups, ...INPUTS.groups];
  assert.throws(() => renderTable({ ...INPUTS, groups }), /two rows "reconnect"/);
});

Deno.test("a test is found by its whole name, in both languages", () => {
  assert.ok(hasTest("a.py", "async def test_a(bus: Bus) -> None:", "test_a"));
  assert.ok(!hasTest("a.py", "async def test_a_b() -> None:", "test_a"));
  assert.ok(hasTest("a_test.ts", 'step("say \\"x\\"", f)', 'say "x"'));
  assert.ok(!hasTest("a_test.ts", 'step("say x and y", f)', "say x"));
});
