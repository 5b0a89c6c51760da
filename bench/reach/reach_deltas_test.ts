/** Which feeds the scenario `reach` sends, and that it does without where there are none. */
import assert from "node:assert/strict";
import { readFeeds } from "./reach_deltas.ts";

Deno.test("the feeds of one line come in the order of their minutes, and none without the data", async () => {
  const folder = await Deno.makeTempDir();
  try {
    for (const [name, byte] of [["2.ace.pb", 2], ["1.ace.pb", 1], ["0.pb", 0]] as const) {
      await Deno.writeFile(`${folder}/${name}`, Uint8Array.of(byte));
    }
    assert.deepEqual((await readFeeds(folder)).map(([byte]) => byte), [1, 2]);
    assert.deepEqual(await readFeeds(`${folder}/absent`), []);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
