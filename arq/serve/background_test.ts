/** Records, the lock and the log of a bus in the background, on the disk. */
import assert from "node:assert/strict";
import { join } from "node:path";
import {
  devFiles,
  isAlive,
  olderLog,
  openLog,
  parseRecord,
  readLog,
  readRecord,
  takeLock,
  writeRecord,
} from "./background.ts";

async function place() {
  const path = await Deno.makeTempDir({ prefix: "arq-dev-" });
  await Deno.mkdir(join(path, ".arqon/dev"), { recursive: true });
  return {
    files: devFiles(path),
    [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }),
  };
}

Deno.test("a record is read back unchanged; anything else is ignored", async () => {
  await using here = await place();
  assert.equal(await readRecord(here.files), undefined);
  for (
    const record of [
      { kind: "embedded", pid: 12, started_ms: 1 },
      { kind: "compose", file: "/c.yaml", started_ms: 2 },
    ] as const
  ) {
    await writeRecord(here.files, record);
    assert.deepEqual(await readRecord(here.files), record);
  }
  for (
    const text of [
      "",
      "null",
      "[]",
      '{"kind":"embedded","pid":1,"started_ms":1}',
      '{"kind":"embedded","pid":-5,"started_ms":1}',
      '{"kind":"embedded","pid":"7; rm","started_ms":1}',
      '{"kind":"compose","started_ms":1}',
      '{"kind":"compose","file":"f"}',
      '{"kind":"other","pid":7,"started_ms":1}',
    ]
  ) assert.equal(parseRecord(text), undefined, text);
});

Deno.test("a bus counts as alive while its lock is held", async () => {
  await using here = await place();
  assert.equal(await isAlive(here.files), false);
  const lock = await takeLock(here.files);
  assert.ok(lock);
  assert.equal(await isAlive(here.files), true);
  assert.equal(await takeLock(here.files), undefined);
  lock.close();
  assert.equal(await isAlive(here.files), false);
});

Deno.test("a log is followed to its last line, also over the beginning of another file", async () => {
  await using here = await place();
  const write = openLog(here.files.log, 64);
  write("first\n");
  let left = 2;
  const pause = () => {
    if (left-- === 2) { for (let n = 0; n < 3; n++) write(`line ${n} of a long log\n`); }
    if (left === 0) write("last\n");
    return Promise.resolve(left > 0);
  };
  let text = "";
  for await (const bytes of readLog(here.files.log, pause)) text += new TextDecoder().decode(bytes);
  const lines = Array.from({ length: 3 }, (_, n) => `line ${n} of a long log\n`);
  assert.equal(text, ["first\n", ...lines, "last\n"].join(""));
  // One file of up to 64 bytes and a line, and the previous one.
  assert.equal(await Deno.readTextFile(olderLog(here.files.log)), ["first\n", ...lines].join(""));
});

Deno.test("a missing log is NotFound", async () => {
  await using here = await place();
  const all = Array.fromAsync(readLog(here.files.log, () => Promise.resolve(false)));
  await assert.rejects(all, Deno.errors.NotFound);
});
