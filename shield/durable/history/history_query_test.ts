/** Valid queries of a history, in each form, and the errors for all others. */
import assert from "node:assert/strict";
import { writeHistoryQuery } from "@arqon/proto";
import { isProtobufType, rangeOfData, rangeOfParams } from "./history_query.ts";

const BOUNDS = { history_messages: 1_000 };
const DEFAULT = { after: 0, before: 0, limit: 100, reverse: false, filter: "" };
const URL_OF_ASKED =
  "after=5&before=1099511627776&limit=1000&reverse=1&filter=sender+%3D%3D+%22ann%22";
const utf8 = new TextEncoder();

const json = (text: string, content_type = "application/json") =>
  rangeOfData(utf8.encode(text), content_type, BOUNDS);
const params = (query: string, others?: readonly string[]) =>
  rangeOfParams(new URLSearchParams(query), BOUNDS, others);

Deno.test("JSON, Protobuf and a URL give the same query", () => {
  const filter = 'sender == "ann"';
  const request = { after: 5, before: 2 ** 40, limit: 1_000, reverse: true, filter };
  assert.deepEqual(json(JSON.stringify(request)), request);
  assert.deepEqual(json(JSON.stringify(request), "application/vnd.x+json; charset=utf-8"), request);
  const protobuf = writeHistoryQuery(request);
  assert.deepEqual(rangeOfData(protobuf, "Application/Protobuf; v=1", BOUNDS), request);
  assert.deepEqual(rangeOfData(protobuf, "application/x-protobuf", BOUNDS), request);
  assert.deepEqual(params(URL_OF_ASKED), request);
  assert.deepEqual(params("reverse=false&after=5&access_token=x", ["access_token"]), {
    ...DEFAULT,
    after: 5,
  });
});

Deno.test("the default is a hundred messages, or the limit if it is lower", () => {
  const nothing = new Uint8Array();
  assert.deepEqual(json(""), DEFAULT);
  assert.deepEqual(json("{}", ""), DEFAULT);
  assert.deepEqual(rangeOfData(nothing, "application/protobuf", BOUNDS), DEFAULT);
  assert.deepEqual(params(""), DEFAULT);
  assert.equal(rangeOfData(nothing, "", { history_messages: 7 }).limit, 7);
  assert.equal(isProtobufType("application/json"), false);
});

const REFUSED: [ask: () => unknown, reason: string, text: RegExp][] = [
  [
    () => json('{"limit":5000}'),
    "invalid-field",
    /limit: 5000; at most 1000 \(limits\.history_messages\)/,
  ],
  [() => json('{"limit":0}'), "invalid-field", /limit: 0; expected a whole number from 1/],
  [() => json('{"limit":-1}'), "invalid-field", /limit: -1;/],
  [() => json('{"limit":1.5}'), "invalid-field", /limit: 1\.5;/],
  [() => json('{"limit":"9"}'), "invalid-field", /limit: "9";/],
  [() => json('{"limit":null}'), "invalid-field", /limit: null;/],
  [
    () => json('{"limit":1e400}'),
    "invalid-field",
    /limit: Infinity; expected a whole number from 1/,
  ],
  [
    () => json('{"after":-1}'),
    "invalid-field",
    /after: -1; expected a whole number from 0 to 9007/,
  ],
  [() => json('{"before":9007199254740993}'), "invalid-field", /before: 9007199254740992;/],
  [() => json('{"reverse":"yes"}'), "invalid-field", /reverse: "yes"; expected true or false/],
  [
    () => json('{"since":1}'),
    "unknown-field",
    /"since"; there are after, before, limit, reverse, filter/,
  ],
  [() => json('{"filter":7}'), "invalid-field", /filter: 7; expected a text/],
  [() => json('{"__proto__":{}}'), "unknown-field", /__proto__/],
  [() => json("[1]"), "invalid-field", /data: expected an object/],
  [() => json("null"), "invalid-field", /data: expected an object/],
  [() => json("{"), "invalid-field", /data: not JSON/],
  [() => json("{}", "text/plain"), "invalid-field", /content_type: "text\/plain"; expected appl/],
  [
    () => rangeOfData(writeHistoryQuery({ after: 2n ** 63n }), "application/protobuf", BOUNDS),
    "invalid-field",
    /after: 9223372036854775808;/,
  ],
  [
    () => rangeOfData(writeHistoryQuery({ limit: 5_000 }), "application/protobuf", BOUNDS),
    "invalid-field",
    /at most 1000/,
  ],
  [
    () => rangeOfData(new Uint8Array([0x30, 1]), "application/protobuf", BOUNDS),
    "unknown-field",
    /6/,
  ],
  [() => params("limit=5000"), "invalid-field", /limit: 5000; at most 1000/],
  [() => params("limit="), "invalid-field", /limit: ""; expected/],
  [() => params("after=-1"), "invalid-field", /after: "-1";/],
  [() => params("after=0x10"), "invalid-field", /after: "0x10";/],
  [() => params("before=99999999999999999999"), "invalid-field", /before: 100000000000000000000;/],
  [() => params("reverse=yes"), "invalid-field", /reverse: "yes"; expected true or false/],
  [() => params("since=1"), "unknown-field", /"since"; there are/],
  [() => params("access_token=x"), "unknown-field", /access_token/],
  [() => params("after=1&after=2"), "repeated-field", /after/],
  [() => params("after=&after=2"), "repeated-field", /after/],
];

for (const [ask, reason, text] of REFUSED) {
  Deno.test(`refused: ${reason} ${text.source}`, () => {
    assert.throws(ask, (error: Error & { reason: string; code: number }) => {
      assert.deepEqual([error.reason, error.code], [reason, 400], error.message);
      assert.match(error.message, text);
      return true;
    });
  });
}
