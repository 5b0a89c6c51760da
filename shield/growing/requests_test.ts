/** Commands of growing messages: invalid data creates no values. */
import assert from "node:assert/strict";
import { decodeClientText } from "@arqon/proto";
import { configFrom } from "../../shared/config/load.ts";
import { requestOf } from "./requests.ts";

const { limits } = configFrom({});

function request(data: string) {
  const frame = `{"op":"cmd","room":"r","name":"growing.append","data":${data}}`;
  const operation = decodeClientText(frame, limits);
  assert.equal(operation.kind, "publish");
  return requestOf(operation.kind === "publish" ? operation.envelope : assert.fail());
}

Deno.test("a piece is read unchanged", () => {
  const read = request(' { "id": "a", "seq": 1, "text": "\\u00e9\\n" } ');
  assert.deepEqual(read, { verb: "append", id: "a", seq: 1, text: "é\n" });
});

Deno.test("data with duplicate or too many members is refused with the expected form", () => {
  const many = Array.from({ length: 17 }, (_, at) => `"m${at}":1`).join(",");
  for (const data of ['{"id":"a","id":"b"}', `{${many}}`, "[]", "null"]) {
    assert.throws(() => request(data), {
      reason: "invalid-command",
      message: /at most 16 members/,
    });
  }
  for (const inner of ['{"a":1}', "[1]"]) {
    assert.throws(() => request(`{"id":"a","seq":1,"text":${inner}}`), /text: .*expected string/);
  }
});
