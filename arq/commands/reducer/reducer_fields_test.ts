/** How a reducer reads the JSON of a command and writes JSON, compared with `JSON.parse`. */
import assert from "node:assert/strict";
import { diskIo, folderWith } from "../../testing/disk_io.ts";
import { runReducer } from "../../testing/run_reducer.ts";
import { reducerBuild } from "../policy/policy_build.ts";

const SOURCE = `import { Command, on, quote } from "@arqon/reducer";
on("read", (c: Command) => {
  const fields = c.fields;
  c.answer('{"text":' + quote(fields.text("text")) + ',"number":' + fields.number("number").toString() +
    ',"flag":' + (fields.flag("flag") ? "true" : "false") +
    ',"more":' + (fields.has("more") ? "true" : "false") + "}");
});
on("quote", (c: Command) => c.answer(quote(c.text)));
`;
const FLAGS = { commands: "c.ndjson", room: "lobby", seed: 1, fuelLimit: 10_000, json: true };
const text = 'a\u0000\u001f\u007f"\\/\t\n é \u2028 🍣';
const GIVEN = { text, number: 5, flag: true };

async function answersTo(commands: readonly object[]) {
  const lines = commands.map((one) => `${JSON.stringify(one)}\n`).join("");
  await using folder = await folderWith({ "f.ts": SOURCE, "c.ndjson": lines });
  const io = diskIo(folder.path);
  assert.notEqual(await reducerBuild(io, "f.ts", {}), 1, io.stderr.text());
  const tried = diskIo(folder.path);
  assert.equal(await runReducer(tried, "f.wasm", { ...FLAGS, memoryLimitPages: 64 }), 0);
  return tried.stdout.text().trimEnd().split("\n").slice(0, -1).map((line) => {
    const { code, reason, answer } = JSON.parse(line);
    return code === 0 ? JSON.parse(answer) : `${code} ${reason}`;
  });
}

Deno.test("members are read by type, and invalid ones are refused with a valid value", async () => {
  const number = 'expected "number": a whole number of at most 18 digits';
  const none = "400 expected a JSON object";
  const cases: [unknown, unknown][] = [
    [GIVEN, { ...GIVEN, more: false }],
    [{ ...GIVEN, flag: false, more: [{ text: 1, number: "x" }] }, {
      text,
      number: 5,
      flag: false,
      more: true,
    }],
    [{ ...GIVEN, number: -7, more: null }, { ...GIVEN, number: -7, more: false }],
    ...[1.5, 1e21, "5", null, true].map((one): [unknown, unknown] => [
      { ...GIVEN, number: one },
      `400 ${number}`,
    ]),
    [{ ...GIVEN, text: 5 }, '400 expected "text": a text'],
    [{ number: 5, flag: true }, '400 expected "text": a text'],
    [{ ...GIVEN, flag: "true" }, '400 expected "flag": true or false'],
    ...["", "5", "[1]", "null", "{", '{"text":"a"} x', '{"number":01}', '{"text":"\\x"}', "{'a':1}"]
      .map((one): [unknown, unknown] => [one, none]),
    ['{"text":"a","text":"b"}', '400 "text" is there twice'],
    [`{"text":"a","flag":true,"number":${"9".repeat(19)}}`, `400 ${number}`],
    [`${'{"a":'.repeat(200)}1${"}".repeat(200)}`, none],
  ];
  const answers = await answersTo(cases.map(([data]) => ({ command: "read", data })));
  for (const [at, [data, expected]] of cases.entries()) {
    assert.deepEqual(answers[at], expected, JSON.stringify(data));
  }
});

Deno.test("a text that is quoted is JSON of that text, whatever is in it", async () => {
  const all = Array.from({ length: 0x300 }, (_, unit) => String.fromCharCode(unit)).join("");
  const texts = [all, text, "", "\ud83c\udf63", '\\\\""', "\u0000"];
  const answers = await answersTo(texts.map((data) => ({ command: "quote", data })));
  assert.deepEqual(answers, texts);
});

Deno.test("a number reaches the reducer unchanged, as on the bus", async () => {
  const source = `import { Command, on } from "@arqon/reducer";
on("echo", (c: Command) => c.answer(c.text));
`;
  const written = [
    "999999999999999999",
    "12345678901234567890",
    "1e400",
    "-0",
    "1.0",
    '[1.0,{"a":1e2}]',
  ];
  const lines = written.map((data) => `{ "command": "echo", "data": ${data} }\n`).join("");
  await using folder = await folderWith({ "e.ts": source, "c.ndjson": lines });
  assert.notEqual(await reducerBuild(diskIo(folder.path), "e.ts", {}), 1);
  const tried = diskIo(folder.path);
  assert.equal(await runReducer(tried, "e.wasm", { ...FLAGS, memoryLimitPages: 64 }), 0);
  const answers = tried.stdout.text().trimEnd().split("\n").slice(0, -1).map((line) =>
    JSON.parse(line).answer
  );
  assert.deepEqual(answers, written);
});
