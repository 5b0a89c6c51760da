// sdk/conformance against this SDK: every vector, every scenario, and the results that are committed.
// After a change there: `deno test -A sdk/typescript/conformance_test.ts -- --write-results`.
import assert from "node:assert/strict";
import { CLOSES, ERRORS } from "@arqon/proto";
import type { Plain } from "../conformance/plain.ts";
import { runScenario, TRANSPORTS } from "./testing/scenario_driver.ts";
import { startScenarioServer } from "./testing/scenario_server.ts";
import { VECTOR_RUNNERS, VECTORS, VECTORS_SHA256 } from "./testing/vector_driver.ts";

const SCENARIOS = new URL("../conformance/scenarios/", import.meta.url);
const RESULTS = new URL("../conformance/results/typescript.json", import.meta.url);

/** The passed tests of this run: cases by vectors file, names of scenarios by transport and feature. */
const passed = {
  vectors: {} as Record<string, number>,
  vectors_sha256: VECTORS_SHA256,
  scenarios: { websocket: {}, http: {} } as Record<string, Record<string, string[]>>,
};

function scenarios(): { name: string; feature: string }[] {
  const files = [...Deno.readDirSync(SCENARIOS)].map(({ name }) => name).sort();
  return files.flatMap((name) =>
    JSON.parse(Deno.readTextFileSync(new URL(name, SCENARIOS))).scenarios
  );
}

Deno.test("every vectors file has a runner here, and every runner its file", () => {
  assert.deepEqual(Object.keys(VECTORS), Object.keys(VECTOR_RUNNERS));
  for (const [file, { about, cases }] of Object.entries(VECTORS)) {
    assert.ok(typeof about === "string" && cases.length > 0, file);
  }
});

for (const [file, run] of Object.entries(VECTOR_RUNNERS)) {
  Deno.test(`conformance: ${file}`, async (t) => {
    for (const example of VECTORS[file]?.cases ?? []) {
      const held = await t.step(example.name, () => run(example));
      if (held) passed.vectors[file] = (passed.vectors[file] ?? 0) + 1;
    }
  });
}

for (const transport of TRANSPORTS) {
  Deno.test(`conformance: scenarios over ${transport}`, async (t) => {
    await using server = await startScenarioServer();
    // Concurrently, since most of a scenario is waiting; leaks are detected at the end.
    const unchecked = { sanitizeOps: false, sanitizeResources: false, sanitizeExit: false };
    const held = new Set<string>();
    await Promise.all(
      scenarios().map(async (scenario) => {
        const fn = () => runScenario(server, scenario, transport);
        if (await t.step({ name: scenario.name, fn, ...unchecked })) held.add(scenario.name);
      }),
    );
    for (const { name, feature } of scenarios()) {
      if (held.has(name)) (passed.scenarios[transport]![feature] ??= []).push(name);
    }
  });
}

Deno.test("the committed results equal this run's", () => {
  const text = JSON.stringify(passed, undefined, 2) + "\n";
  if (Deno.args.includes("--write-results")) Deno.writeTextFileSync(RESULTS, text);
  assert.deepEqual(JSON.parse(Deno.readTextFileSync(RESULTS)), passed);
});

Deno.test("the vectors name every reason and every close code", () => {
  const named = (file: string, of: (example: Plain) => unknown) =>
    new Set(VECTORS[file]?.cases.map(of));
  const reasons = named("errors.json", ({ name }) => name);
  assert.deepEqual(Object.keys(ERRORS).filter((reason) => !reasons.has(reason)), []);
  const codes = named("close_codes.json", ({ code }) => String(code));
  assert.deepEqual(Object.keys(CLOSES).filter((code) => !codes.has(code)), []);
});
