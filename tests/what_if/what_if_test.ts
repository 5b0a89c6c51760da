/** The script `deno task whatif` in short: a few thousand decisions, and each Shield killed once. */
import assert from "node:assert/strict";
import { plantEvents } from "./planted_events.ts";
import { runWhatIf } from "./run.ts";

const PLAN = { messages: 2_400, kills: 2, clients: 3, window: 8, wasmtime: 0, seed: 7 };

Deno.test("what was decided while Shields were killed is decided again to the unit, and a planted rule flips what it must", async () => {
  const said: string[] = [];
  const { problems } = await runWhatIf(PLAN, (line) => said.push(line));
  assert.deepEqual(problems, [], said.join("\n"));
});

Deno.test("planted violations among events are all named with their field and rule, and nothing else", async () => {
  const said: string[] = [];
  const plan = { events: 30_000, planted: 12, seed: 7 };
  const { problems } = await plantEvents(plan, (line) => said.push(line));
  assert.deepEqual(problems, []);
  assert.match(said.join("\n"), /30000 events were checked in [\d.]+ s: 12 are named/);
});
