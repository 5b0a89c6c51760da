/** Large bodies of the admin API: the same value as of one that is read at once, or refused before values are made. */
import assert from "node:assert/strict";
import { readValue } from "./admin_body.ts";

const BYTES_MAX = 2_097_152;
const list = (count: number) =>
  Array.from({ length: count }, (_, at) => ({ id: `s${at}`, data: [at] }));

function read(text: string): Promise<unknown> {
  const headers = { "content-type": "application/json" };
  const request = new Request("http://bus/", { method: "PUT", headers, body: text });
  return readValue(request, BYTES_MAX);
}

Deno.test("a large body is what it says", async () => {
  const body = { basis: { settings: 1 }, schedules: list(1_000), __proto__: undefined, none: [] };
  assert.deepEqual(
    await read(JSON.stringify(body, undefined, 1)),
    JSON.parse(JSON.stringify(body)),
  );
});

Deno.test("a large body that is too much for its reader is refused, and so is an ambiguous one", async () => {
  const members = Object.fromEntries(list(1_000).map(({ id }) => [id, "x".repeat(20)]));
  const spaces = " ".repeat(20_000);
  const refused: Readonly<Record<string, string>> = {
    "more than 64 members": JSON.stringify(members),
    "more than 10000 schedules": JSON.stringify({ schedules: list(10_001) }),
    "more than 524288 bytes in one entry": JSON.stringify({ rooms: ["x".repeat(600_000)] }),
    "it is not one JSON object": `${spaces}[]`,
    '"a" stands twice': `{"rooms":[{"a":1,"a":2}]${spaces}}`,
    '"rooms"': `{"rooms":[],"rooms":[]${spaces}}`,
  };
  for (const [detail, text] of Object.entries(refused)) {
    await assert.rejects(read(text), { reason: "invalid-settings", message: new RegExp(detail) });
  }
});
