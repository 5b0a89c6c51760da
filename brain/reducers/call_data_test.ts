/** What a reducer receives of a client's JSON. */
import assert from "node:assert/strict";
import { callData } from "./reducer_commands.ts";

const text = (json: string) => new TextDecoder().decode(callData(json));

Deno.test("data is a text, JSON as it was written, or bytes from base64, however its text is written", () => {
  assert.equal(text('"a\\u00e9"'), "aé");
  assert.equal(text("12345678901234567890"), "12345678901234567890");
  for (const json of ['{"base64":"aGk=","more":1}', '{"base64":5}', '{"Base64":"aGk="}', "{}"]) {
    assert.equal(text(json), json);
  }
  for (const json of ['{"base64":"+/8="}', '{"base64":"+\\/8="}', '{"base64":"+\\u002f8="}']) {
    assert.deepEqual([...callData(json)], [0xfb, 0xff], json);
  }
  assert.deepEqual([...callData('{"base64":""}')], []);
  // Text of the other alphabet, or no base64 at all, is not passed on as if it were JSON.
  for (
    const json of ['{"base64":"-_8="}', '{"base64":"%"}', '{"base64":"a"}', '{"base64":"\\""}']
  ) {
    assert.throws(() => callData(json), /"data" has "base64" that is none/, json);
  }
});
