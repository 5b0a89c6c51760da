/** Large bodies of the admin API give the same value as when parsed at once, or are refused before values are made. */
import assert from "node:assert/strict";
import { z } from "zod";
import { turnsDuring } from "../testing/turns_during.ts";
import { readValue, settingsWithin } from "./request_body.ts";

const BYTES_MAX = 2_097_152;
const list = (count: number) =>
  Array.from({ length: count }, (_, at) => ({ id: `s${at}`, data: [at] }));

function read(text: string): Promise<unknown> {
  const headers = { "content-type": "application/json" };
  const request = new Request("http://bus/", { method: "PUT", headers, body: text });
  return readValue(request, BYTES_MAX);
}

Deno.test("a large body is parsed to the same value", async () => {
  const body = { basis: { settings: 1 }, schedules: list(1_000), __proto__: undefined, none: [] };
  assert.deepEqual(
    await read(JSON.stringify(body, undefined, 1)),
    JSON.parse(JSON.stringify(body)),
  );
});

Deno.test("a large body beyond its limits is refused, and so is an ambiguous one", async () => {
  const members = Object.fromEntries(list(1_000).map(({ id }) => [id, "x".repeat(20)]));
  const spaces = " ".repeat(20_000);
  const refused: Readonly<Record<string, string>> = {
    "more than 64 members": JSON.stringify(members),
    "more than 10000 schedules": JSON.stringify({ schedules: list(10_001) }),
    "more than 524288 bytes in one entry": JSON.stringify({ rooms: ["x".repeat(600_000)] }),
    "it is not one JSON object": `${spaces}[]`,
    '"a" occurs twice': `{"rooms":[{"a":1,"a":2}]${spaces}}`,
    '"rooms"': `{"rooms":[],"rooms":[]${spaces}}`,
  };
  for (const [detail, text] of Object.entries(refused)) {
    await assert.rejects(read(text), { reason: "invalid-settings", message: new RegExp(detail) });
  }
});

const Listing = z.strictObject({
  names: z.array(z.strictObject({ id: z.string(), is_there: z.boolean().default(true) })).max(900)
    .refine((all) => all.length !== 3, { error: "not three" }).optional(),
  count: z.int().default(7),
});

function readListing(names: unknown, more: object = {}): Promise<z.output<typeof Listing>> {
  const headers = { "content-type": "application/json" };
  const body = JSON.stringify({ names, ...more });
  return settingsWithin(BYTES_MAX)(
    new Request("http://bus/", { method: "PUT", headers, body }),
    Listing,
  );
}

Deno.test("the entries of a list are checked one by one, and other tasks run between them", async () => {
  const names = Array.from({ length: 900 }, (_, at) => ({ id: `${at}` }));
  const { value, turns } = await turnsDuring(() => readListing(names));
  assert.deepEqual(value, { names: names.map((one) => ({ ...one, is_there: true })), count: 7 });
  assert(turns > 850, `${turns} turns`);
});

Deno.test("problems in a list, of a list and beside it are named together", async () => {
  const refused: [names: unknown, more: object, detail: RegExp][] = [
    [[{ id: 1 }], { count: "x" }, /names\[0\]\.id: .*string.*; count: .*number/],
    [[{ id: "a" }, { id: "b" }, { id: "c" }], {}, /names: not three/],
    [Array(901).fill({ id: "a" }), {}, /names: .*900/],
    [{ id: "a" }, {}, /names: .*array/],
    [[{ id: "a" }], { other: 1 }, /other/],
    [[{ id: "a", x: 1 }], {}, /names\[0\]: .*"x"/],
  ];
  for (const [names, more, message] of refused) {
    await assert.rejects(readListing(names, more), { reason: "invalid-settings", message });
  }
  await assert.rejects(readListing(Array(900).fill({ id: 1 })), (error) => {
    assert.equal((error as Error).message.split("; ").length, 8);
    return true;
  });
  assert.deepEqual(await readListing(undefined), { count: 7 });
});
