/** `arq reducer types`: the committed types of the sale match its schema, and errors in a schema name their place. */
import assert from "node:assert/strict";
import { diskIo, folderWith } from "../../testing/disk_io.ts";
import { CommandError } from "../../terminal/exit.ts";
import { runReducer } from "../../testing/run_reducer.ts";
import { reducerTypes } from "./reducer_types.ts";
import { reducerBuild } from "../policy/policy_build.ts";

const ROOT = new URL("../../../", import.meta.url).pathname;
const SCHEMA = "policies/reducers/sale.schema.json";
const ODD = {
  commands: {
    "pay-in": {
      data: {
        type: "object",
        properties: {
          class: { type: "string", description: 'A """ and */.' },
          of: { type: "array", items: { $ref: "#/$defs/node" } },
          more: { type: "object", additionalProperties: { type: "number" } },
        },
      },
      answer: { type: ["integer", "null"] },
    },
    say: { data: { type: "string" }, answer: { type: "boolean" } },
    set: {
      data: {
        type: "object",
        properties: {
          rate: { type: "number" },
          left: { type: ["integer", "null"] },
          on: { type: "boolean" },
        },
        required: ["rate", "left"],
      },
    },
  },
  events: {
    "set": {
      type: "object",
      properties: { left: { type: ["integer", "null"] }, on: { type: "boolean" } },
      required: ["left"],
    },
  },
  values: { "bids/*": { type: "integer" }, "names/*": { type: "string" } },
  $defs: {
    node: { type: "object", properties: { next: { $ref: "#/$defs/node" } } },
    Odd: { enum: ["a", 1, null, true] },
  },
};

Deno.test("the committed types of the sale match its schema", async () => {
  const io = diskIo(ROOT);
  for (
    const [out, guest] of [
      ["examples/auction/sale.ts", false],
      ["sdk/python/tests/sale_types.py", false],
      ["policies/reducers/types/sale.ts", true],
    ] as const
  ) {
    const made = reducerTypes(io, SCHEMA, { out, guest, check: true });
    assert.equal(await made, 0, `arq reducer types ${SCHEMA} --out ${out}`);
  }
  await using folder = await folderWith({ "sale.ts": "" });
  const wasm = `${ROOT}policies/build/reducers/sale.wasm`;
  await reducerTypes(diskIo(folder.path), wasm, { out: "sale.ts" });
  const [, text] = (await Deno.readTextFile(`${folder.path}/sale.ts`)).split(/run it again\.\n/);
  assert.ok((await Deno.readTextFile(`${ROOT}examples/auction/sale.ts`)).endsWith(text!));
});

Deno.test("a reducer reads and writes with types from its schema, and errors name the position", async () => {
  await using folder = await folderWith({
    "odd.schema.json": JSON.stringify(ODD),
    "odd.ts": `import { Command, on, writeNumber } from "@arqon/reducer";
      import { answerSay, emitSet, SetData, SetEvent } from "./odd_types.ts";
      on("say", (c: Command) => answerSay(c, c.text == "yes"));
      on("set", (c: Command) => {
        const data = new SetData(c);
        const event = new SetEvent();
        event.hasLeft = data.hasLeft;
        event.left = data.left;
        event.hasOn = data.hasOn;
        event.on = data.on;
        emitSet(event);
        if (data.rate == 2.5) c.answer("5");
        writeNumber("bids/a", 1);
      });`,
    "c.ndjson": [
      { command: "say", data: "yes" },
      { command: "set", data: { rate: 1, left: null } },
      { command: "set", data: { rate: 2.5, left: 7, on: true } },
      { command: "set", data: { rate: true, left: 7 } },
    ].map((line) => `${JSON.stringify(line)}\n`).join(""),
  });
  const io = diskIo(folder.path);
  await reducerTypes(io, "odd.schema.json", { out: "odd_types.ts", guest: true });
  const built = await reducerBuild(io, "odd.ts", {});
  assert.ok(typeof built === "object", io.stderr.text());
  assert.match(built.text, /odd\.wasm: \d+ bytes, a schema of 3 commands\n$/);
  const flags = { commands: "c.ndjson", room: "r", seed: 1, fuelLimit: 10_000 };
  const tried = diskIo(folder.path);
  const all = { ...flags, memoryLimitPages: 64, json: true };
  assert.equal(await runReducer(tried, "odd.wasm", all), 1);
  const steps = tried.stdout.text().trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(steps.map(({ answer, events }) => [answer, events?.[0]?.data]), [
    ["true", undefined],
    ["", `{"left":null}`],
    ["5", `{"left":7,"on":true}`],
    ["", undefined],
    [undefined, undefined],
  ]);
  assert.deepEqual(steps[2].schema_problems, ["answer: expected none"]);
  const { offset, forbidden, reason } = steps[3];
  assert.deepEqual([offset, forbidden], [null, true]);
  assert.equal(reason, "data.rate: expected a number, found true or false");
  assert.equal(steps[4].unlike_schema, 1);
});

Deno.test("names that a language does not have are written as it can, and notes end nothing", async () => {
  await using folder = await folderWith({
    "odd.schema.json": JSON.stringify(ODD),
    "bad.schema.json": `{"commands":{"a":{"data":{"type":"text"}}}}`,
  });
  const io = diskIo(folder.path);
  const text = async (out: string) => {
    await reducerTypes(io, "odd.schema.json", { out });
    return await Deno.readTextFile(`${folder.path}/${out}`);
  };
  const typescript = await text("odd.ts");
  for (
    const part of [
      `readonly "pay-in": readonly [data: {`,
      'A """ and * /.'.replaceAll('"""', "'''"),
      "readonly of?: readonly (Node)[];",
      "readonly more?: Readonly<Record<string, number>>;",
      "answer: number | null",
      "readonly [key: `bids/${string}`]: number;",
      `export type Odd2 = "a" | 1 | null | true;`,
    ]
  ) assert.ok(typescript.includes(part), `${part}\n${typescript}`);
  const python = await text("odd.py");
  for (
    const part of [
      `        "class": "NotRequired[str]",`,
      `command: Literal["pay-in"],`,
      "-> Called[int | None]:",
      `Odd2: TypeAlias = 'Literal["a", 1, None, True]'`,
    ]
  ) assert.ok(python.includes(part), `${part}\n${python}`);
  for (
    const [source, out, message] of [
      ["bad.schema.json", "x.ts", /^bad\.schema\.json: commands\.a\.data\.type: expected one of/],
      ["odd.schema.json", "x.rs", /expected a file that ends in \.ts or \.py/],
      [`${ROOT}policies/build/reducers/counter.wasm`, "x.ts", /counter\.wasm has no schema/],
    ] as const
  ) {
    const error = await reducerTypes(io, source, { out }).then(() => undefined, (one) => one);
    assert.ok(error instanceof CommandError);
    assert.match(error.message, message);
  }
});
