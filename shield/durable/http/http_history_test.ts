/**
 * `GET /v1/rooms/{room}/messages` as a function of requests. The reader `history` of `tests/model/` tests it over
 * sockets and HTTP.
 */
import assert from "node:assert/strict";
import { gunzipSync } from "node:zlib";
import { readEnvelope, readHistory } from "@arqon/proto";
import { Registry } from "prom-client";
import { configFrom } from "../../../shared/config/load.ts";
import { HttpRates } from "../../rates/http_rates.ts";
import { RateTable } from "../../rates/rates.ts";
import { createStats } from "../../stats/stats.ts";
import { ann } from "../../auth/testing/identity.ts";
import { createHttpHistory } from "../capability.ts";
import { testHistory } from "../testing/history.ts";

const gone = () => new AbortController().signal;

function testHttp(
  limits: Record<string, number> = {},
  noteRead?: NonNullable<Parameters<typeof testHistory>[0]>["noteRead"],
) {
  const test = testHistory({ noteRead });
  const stats = createStats();
  const table = new RateTable(configFrom({ limits }).limits, new Registry(), test.log.now_ms);
  const rates = new HttpRates(table, () => test.log.now_ms);
  const answer = createHttpHistory({ history: test.history, stats, rates, query_token: true });
  const get = (
    query: string,
    headers: Record<string, string> = {},
    room = "kept-1",
    method = "GET",
  ) => {
    const url = `http://shield/v1/rooms/${room}/messages${query}`;
    const request = new Request(url, { headers, method });
    const client = { identity: ann, remote_ip: "127.0.0.1" };
    const body = () => request.bytes();
    return answer({
      request,
      client,
      url: new URL(request.url),
      names: { room },
      body,
      gone,
      requireStill() {},
    });
  };
  return { ...test, stats, request: get };
}

Deno.test("a page is JSON, or Protobuf for clients that accept it, and is not cacheable", async () => {
  const { put, request, stats } = testHttp();
  for (const type of ["a", "b", "c"]) put("kept-1", { type });
  const json = await request("?after=1&limit=1");
  assert.equal(json.headers.get("content-type"), "application/json");
  assert.equal(json.headers.get("cache-control"), "no-store");
  const page = await json.json();
  assert.deepEqual([page.messages.length, page.offset, page.more], [1, 3, true]);
  assert.deepEqual([page.messages[0].type, page.messages[0].offset], ["b", 2]);
  const accept = "text/html, application/protobuf;q=0.9";
  const protobuf = await request("?reverse=true&access_token=secret", { accept });
  assert.equal(protobuf.headers.get("content-type"), "application/protobuf");
  const history = readHistory(await protobuf.bytes());
  assert.deepEqual(history.messages.map((one) => readEnvelope(one).offset), [3, 2, 1]);
  assert.equal(stats.ingress_ops["http_history"], 2);
});

Deno.test("refusals are those of the command, including the rate limit of a user", async () => {
  const { request, log } = testHttp({ messages_per_second: 5 });
  await assert.rejects(request("?limit=5000"), { reason: "invalid-field" });
  await assert.rejects(request("?since=1"), { reason: "unknown-field" });
  await assert.rejects(request("", {}, "live"), { reason: "not-durable" });
  await assert.rejects(request("", {}, "a.b"), { reason: "invalid-room" });
  for (let n = 0; n < 6; n++) await request("");
  await assert.rejects(request(""), { reason: "rate-limited", code: 429 });
  log.now_ms += 1_000;
  await request("");
});

Deno.test("a long page is compressed for clients that accept gzip, and has the same content", async () => {
  const { put, request } = testHttp();
  for (let n = 0; n < 20; n++) put("kept-1", { type: "the-same-each-time" });
  const plain = await request("");
  assert.equal(plain.headers.get("content-encoding"), null);
  assert.match(plain.headers.get("vary") ?? "", /accept-encoding/);
  const packed = await request("", { "accept-encoding": "br, gzip;q=0.5" });
  assert.equal(packed.headers.get("content-encoding"), "gzip");
  const text = await plain.text();
  const bytes = await packed.bytes();
  assert.ok(bytes.length < text.length / 2);
  assert.equal(gunzipSync(bytes).toString(), text);
  for (const refusing of ["gzip;q=0", "br", "identity", "*"]) {
    const answer = await request("", { "accept-encoding": refusing });
    assert.equal(answer.headers.get("content-encoding"), null, refusing);
  }
  const short = await request("?limit=1", { "accept-encoding": "gzip" });
  assert.equal(short.headers.get("content-encoding"), null);
});

Deno.test("a HEAD has the length of the page, and its messages are not recorded as read", async () => {
  const read: number[] = [];
  const { put, request } = testHttp({}, ({ offsets }) => void read.push(...offsets));
  put("kept-1", { type: "a" });
  const page = await (await request("")).bytes();
  assert.deepEqual(read.splice(0), [1]);
  const head = await request("", {}, "kept-1", "HEAD");
  assert.equal((await head.bytes()).length, page.length);
  assert.deepEqual(read, []);
});
