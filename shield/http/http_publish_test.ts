/**
 * `POST /v1/rooms/{room}/messages` as a function, on a real engine: bodies, sizes and rates. Routes, tokens and CORS
 * are `tests/http_test.ts`.
 */
import assert from "node:assert/strict";
import { readAck, readEnvelope, writeEnvelope } from "@arqon/proto";
import { Registry } from "prom-client";
import { configFrom } from "../../shared/config/load.ts";
import { FlushQueue } from "../connection/flush_queue.ts";
import { readBody } from "./http_body.ts";
import { createHttpPublish } from "./http_publish.ts";
import { HttpRates } from "../rates/http_rates.ts";
import type { Identity } from "../auth/identity.ts";
import { ann as user } from "../auth/testing/identity.ts";
import { plainPath } from "../message/testing/path.ts";
import { RateTable } from "../rates/rates.ts";
import { createStats } from "../stats/stats.ts";
import { TenantTable } from "../stats/tenant_stats.ts";
import { listenToAll, SPINE_NOW_MS, testSpine } from "../testing/spine.ts";

const gone = () => new AbortController().signal;

const URL_TEXT = "http://shield/v1/rooms/lobby/messages";
const ann: Identity = { ...user, role: "service" };

function testPublish(limits: Record<string, number> = {}) {
  const engine = testSpine();
  const { spine } = engine;
  const published = listenToAll(spine);
  const clock = { now_ms: SPINE_NOW_MS };
  const stats = createStats();
  const config = configFrom({ limits });
  const table = new RateTable(config.limits, new Registry(), SPINE_NOW_MS);
  const publish = createHttpPublish({
    path: plainPath(spine, { now: () => clock.now_ms }),
    flushes: new FlushQueue(spine),
    limits: config.limits,
    rates: new HttpRates(table, () => clock.now_ms),
    stats,
    tenants: new TenantTable(),
    own: () => undefined,
  });
  const post = (body: BodyInit, content_type = "application/json", identity = ann) => {
    const headers = { "content-type": content_type };
    const request = new Request(URL_TEXT, { method: "POST", headers, body });
    const client = { identity, remote_ip: "127.0.0.1" };
    const bodyOf = (bytes_max: number) => readBody(request, bytes_max, "default");
    return publish({
      request,
      client,
      url: new URL(URL_TEXT),
      names: { room: "lobby" },
      body: bodyOf,
      gone,
      requireStill() {},
    });
  };
  return { ...engine, published, clock, stats, post };
}

/** A body in pieces, which may end with an error, as if the client disconnected. */
function pieces(parts: (string | Error)[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    pull(controller) {
      const part = parts.shift();
      if (part instanceof Error) controller.error(part);
      else if (part === undefined) controller.close();
      else controller.enqueue(new TextEncoder().encode(part));
    },
  });
}

Deno.test("JSON and Protobuf are answered in their own form once the Spine has the message", async () => {
  await using test = testPublish();
  const body = ' {"type":"chat","data":{"a":1},"id":7}';
  const json = await test.post(body);
  assert.deepEqual(await json.json(), { op: "ack", id: 7, code: 0 });
  const event = { type: "chat", data: new Uint8Array([1]), content_type: "", schema_id: "" };
  const envelope = writeEnvelope({ request_id: 8, event });
  const protobuf = await test.post(envelope, "application/protobuf; charset=x");
  assert.equal(protobuf.headers.get("content-type"), "application/protobuf");
  assert.equal(readAck(new Uint8Array(await protobuf.arrayBuffer())).request_id, 8);
  const texts = test.published.map(({ payload }) => readEnvelope(payload));
  assert.deepEqual(texts.map(({ room_id, sender_id }) => [room_id, sender_id]), [
    ["lobby", "ann"],
    ["lobby", "ann"],
  ]);
  assert.equal(test.stats.ingress_ops["http_publish"], 2);
  assert.equal(test.stats.ingress_bytes, body.length + envelope.length);
});

Deno.test("a body in pieces is joined", async () => {
  await using test = testPublish();
  const response = await test.post(
    pieces(['{"type":"ch', 'at","data":"', "x".repeat(5_000), '"}']),
  );
  assert.equal((await response.json()).code, 0);
  const data = readEnvelope(test.published[0]!.payload).event?.data;
  assert.equal(new TextDecoder().decode(data), `"${"x".repeat(5_000)}"`);
});

Deno.test("a body is counted while it arrives, and refused at the first excess byte", async () => {
  await using test = testPublish({ max_frame_bytes: 1_024 });
  const open = `{"type":"chat","data":"`;
  const fill = (size_bytes: number) => open + "x".repeat(size_bytes - open.length - 2) + '"}';
  assert.equal((await (await test.post(fill(1_024))).json()).code, 0);
  await assert.rejects(test.post(fill(1_025)), { reason: "too-large" });
  const endless = new ReadableStream({
    pull: (controller) => controller.enqueue(new Uint8Array(1_000)),
  });
  await assert.rejects(test.post(endless), { reason: "too-large" });
  assert.equal(test.published.length, 1);
});

Deno.test("a compressed body is refused, since nothing would decompress it", async () => {
  const sent = (encoding: string) => {
    const headers = { "content-encoding": encoding };
    return readBody(new Request("http://x/", { method: "POST", headers, body: "{}" }), 10, "t");
  };
  for (const encoding of ["gzip", "br, identity", "GZIP"]) {
    await assert.rejects(sent(encoding), { reason: "unsupported-media-type" });
  }
  assert.equal((await sent("Identity")).length, 2);
});

Deno.test("a client that disconnects during its body is refused, and logged as no bug", async () => {
  await using test = testPublish();
  const left = pieces(['{"type":"chat",', new Deno.errors.BadResource("gone")]);
  await assert.rejects(test.post(left), { reason: "malformed-body" });
  assert.deepEqual(test.published, []);
});

Deno.test("the rate is per user: the answer has a valid waiting time, and other users are not slowed", async () => {
  await using test = testPublish({ messages_per_second: 2 });
  const bob = { ...ann, user_id: "bob", user_key: "https://id.example.com\nbob" };
  const post = (identity: Identity) => test.post("{}", "application/json", identity);
  for (let index = 0; index < 4; index++) await post(ann);
  await assert.rejects(post(ann), { reason: "rate-limited", retry_after_ms: 500 });
  assert.equal((await post(bob)).status, 200);
  test.clock.now_ms += 500;
  assert.equal((await post(ann)).status, 200);
  await assert.rejects(post(ann), { reason: "rate-limited" });
});
