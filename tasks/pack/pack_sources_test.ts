// Modules that are started by URL are packed: no program's module graph contains them.
import assert from "node:assert/strict";
import { isProduct, listFiles, ROOT } from "../checkout/source_files.ts";
import { PROGRAMS, STARTED } from "./pack_sources.ts";

Deno.test("every thread and child that our programs start by URL is packed", async () => {
  const started = new Set<string>();
  for (const path of (await listFiles([".ts"])).filter(isProduct)) {
    const text = await Deno.readTextFile(`${ROOT}${path}`);
    for (
      const [, file = ""] of text.matchAll(
        /new URL\(\s*"(\.{1,2}\/[^"]+\.ts)",\s*import\.meta\.url/g,
      )
    ) {
      started.add(new URL(file, `file:///${path}`).pathname.slice(1));
    }
  }
  const known = [...STARTED, ...Object.values(PROGRAMS)];
  assert.ok(started.has("arq/replay/replay_thread.ts"), "threads are found by their URL");
  assert.deepEqual([...started].sort().filter((path) => !known.includes(path)), []);
});
