/** The programs that the pages about moving here show, on a real bus: each says what its page promises. */
import assert from "node:assert/strict";
import { until } from "../../shared/testing/until.ts";
import { startProgram } from "../cookbook/program.ts";
import { startBus } from "../harness/bus.ts";

const WANTED: Readonly<Record<string, readonly string[]>> = {
  socketio: [
    "connecting",
    "open",
    'dev { text: "hello" }',
    "tea",
    'dev { text: "from a backend" }',
    '{ text: "from a backend" }',
  ],
  pusher: ["{ id: 1 }", 'dev { name: "Ann" }', "{ id: 2 }"],
  ably: ["1 true", '{ text: "rain" }', "1 0 0", "1 1", 'dev { text: "rain" }'],
  supabase: ["{ x: 1, y: 2 }", 'dev { page: "home" }', "added { id: 1 }"],
  centrifugo: ["true", 'true { text: "hello" }', "0 0", "1 false", "200"],
};

Deno.test("the programs of the pages about moving here do what their pages say", async (t) => {
  await using bus = await startBus();
  for (const [name, wanted] of Object.entries(WANTED)) {
    await t.step(name, async () => {
      const program = `examples/moving/${name}.ts`;
      await using running = startProgram([
        ...[Deno.execPath(), "run", "--allow-net", program, bus.url, bus.token],
      ]);
      await until(
        () => `all is said; it was ${running.lines.join("\n")}`,
        () => running.lines.length >= wanted.length,
      );
      assert.deepEqual(running.lines.toSorted(), wanted.toSorted());
    });
  }
});
