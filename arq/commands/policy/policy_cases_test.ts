/** `arq policy record` and `arq policy test --cases` as their own processes, one after the other. */
import assert from "node:assert/strict";
import { readyModule } from "../../replay/replay_modules.ts";
import { builtModule, linesOf, MEMORY_PAGES, Recorder } from "../../replay/testing/recorded.ts";
import { folderWith } from "../../testing/disk_io.ts";
import { policyIn as policy } from "../../testing/run_arq.ts";

const WORDS = await builtModule("bad_words");

async function folderWithJournal() {
  const recorder = new Recorder("bad_words", await readyModule(WORDS, MEMORY_PAGES));
  const records = Array.from({ length: 60 }, (_, at) =>
    recorder.record({
      payload: JSON.stringify({
        n: at,
        email: `user${at}@example.org`,
        text: at % 3 === 0 ? `some malware number ${at}` : `a clean one, number ${at}`,
      }),
      room: at % 2 === 0 ? "chat-1" : "lobby",
    }));
  return await folderWith({
    "j.ndjson": linesOf(records),
    "bad_words.wasm": WORDS,
    "size.wasm": await builtModule("content_size"),
  });
}

Deno.test("recorded cases pass with their module, and a flip is shown and shrunk with another", async () => {
  await using folder = await folderWithJournal();
  const { path } = folder;
  const record = ["record", "--journal", "j.ndjson", "--out", "cases", "--count", "8"];
  const written = await policy(
    path,
    0,
    ...record,
    ...["--room", "chat-*", "--redact", "data.email", "--module", "bad_words.wasm"],
  );
  assert.match(written.stdout, /^8 cases of 30 decisions in cases\n$/);
  const names = (await Array.fromAsync(Deno.readDir(`${path}/cases`), ({ name }) => name)).sort();
  assert.equal(
    names.filter((name) => /^bad_words-refused-shield-1\.\d+\.json$/.test(name)).length,
    4,
  );
  const texts = await Promise.all(
    names.filter((name) => name.endsWith(".json")).map((name) =>
      Deno.readTextFile(`${path}/cases/${name}`)
    ),
  );
  assert.ok(
    texts.every((text) => !text.includes("example.org") && text.includes('"room": "chat-1"')),
  );
  const same = await policy(path, 0, "test", "bad_words.wasm", "--cases", "cases");
  assert.equal(same.stdout, "8 cases: 8 as recorded\n");
  const args = ["test", "size.wasm", "--cases", "cases", "--shrink"];
  const flipped = await policy(path, 1, ...args);
  assert.match(flipped.stdout, /\n8 cases: 4 as recorded, 4 flips\n$/);
  assert.match(
    flipped.stdout,
    /\n- refused 403 "a word in this message is not allowed"\n\+ allowed\n/,
  );
  assert.match(flipped.stdout, /\n {2}smallest {2}\{"text":"malware"\}\n/);
  const { flips, reports } = JSON.parse((await policy(path, 1, ...args, "--json")).stdout);
  assert.deepEqual([flips, reports[0].smallest], [4, { json: { text: "malware" } }]);
  const again = await policy(path, 1, ...record);
  assert.match(again.stderr, /cannot write .*cases.*: it is there already\n/);
});

Deno.test("cases: other new payloads are shown, and a second recording adds to the folder", async () => {
  await using folder = await folderWithJournal();
  const { path } = folder;
  const mask = await builtModule("json_masking");
  const recorder = new Recorder("mask", await readyModule(mask, MEMORY_PAGES));
  const record = (room: string, iban: string) =>
    recorder.record({ payload: `{"iban":"${iban}"}`, room });
  await Deno.writeTextFile(`${path}/m.ndjson`, linesOf([record("a", "DE1"), record("b", "DE2")]));
  await Deno.writeFile(`${path}/mask.wasm`, mask);
  const args = ["record", "--journal", "m.ndjson", "--out", "masked", "--module", "mask.wasm"];
  await policy(path, 0, ...args, "--room", "a");
  await policy(path, 0, ...args, "--room", "b");
  await policy(path, 0, "test", "mask.wasm", "--cases", "masked");
  const other = await policy(path, 1, "test", "size.wasm", "--cases", "masked");
  assert.match(other.stdout, /\n- payload \{"iban":"\*\*\*"\}\n\+ payload as it came\n/);
  // A mask usually hides a secret, which is removed from both payloads.
  const secret = recorder.record({ payload: '{"password":"p"}', room: "c" });
  await Deno.writeTextFile(`${path}/s.ndjson`, linesOf([secret]));
  const kept = await policy(path, 0, ...args.with(2, "s.ndjson").with(4, "secret"));
  assert.match(kept.stdout, /^1 case of 1 decision in secret\n$/);
  const wrong = await policy(path, 1, ...args.slice(0, -1), "size.wasm");
  assert.match(wrong.stderr, /size\.wasm \([0-9a-f]{12}\) has decided none of the cases/);
  const none = await policy(path, 1, ...args.with(4, "none"), "--redact", "data.iban");
  assert.match(none.stderr, /no case remains of 2 decisions: without the redacted part/);
});

Deno.test("cases: no folder, a broken file, a hook that is missing, a policy that is not there", async () => {
  await using folder = await folderWithJournal();
  const { path } = folder;
  const none = await policy(path, 1, "test", "bad_words.wasm", "--cases", "none");
  assert.match(none.stderr, /none has no cases/);
  await Deno.mkdir(`${path}/bad`);
  await Deno.writeTextFile(`${path}/bad/a.json`, '{"format":1}');
  const broken = await policy(path, 1, "test", "bad_words.wasm", "--cases", "bad");
  assert.match(broken.stderr, /bad\/a\.json is not a case: id: /);
  const both = ["--cases", "bad", "--event", "bad/a.json"];
  await policy(path, 2, "test", "bad_words.wasm", ...both);
  const args = ["record", "--journal", "j.ndjson", "--out", "c"];
  const other = await policy(path, 1, ...args, "--policy", "size");
  assert.match(other.stderr, /has no such decision; policies in it: bad_words/);
  await policy(path, 2, ...args, "--redact", "email");
});
