/**
 * Unintended requests to the paths of events, tickets and streams of a real bus: every method, header and parameter
 * with right, nearly right and absurd values. Each gets an answer of its protocol, and the bus reports that it is
 * healthy.
 */
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { atEnd } from "../shared/testing/at_end.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const RUNS = 1_000;
const SEED = 20_261_122;
const CONFIG = `
[server]
drain_ms = 0
[streams]
#constant streams.long_poll_ms = 5
${durableRooms("s-*", "history_size = 20")}
`;
/** Statuses in the documents; 503 is possible under load. */
const STATUSES = new Set([
  ...[200, 201, 204, 304, 400, 401, 403, 404, 405, 406, 409, 410, 411, 413, 415, 422, 429, 503],
]);

const NUMBERS = [
  ...["0", "1", "-1", "00", "1e3", "0x1", "1.5", " 1", "", "9007199254740991", "9007199254740993"],
  ...["99999999999999999999999", "NaN", "true"],
];
const OFFSETS = [
  ...["-1", "now", "0000000000000000_0000000000000000", "0000000000000001_0000000000000000"],
  ...["9999999999999999_9999999999999999", "0000000000000000", "_", "%00", "0_0", "-2"],
];
const TYPES = [
  ...["application/json", "text/plain", "TEXT/PLAIN; charset=x", "application/octet-stream", "x"],
  ...['application/json; a=""', "text/event-stream", "multipart/form-data; boundary=a"],
];
const TIMES = ["2030-01-01T00:00:00Z", "1970-01-01", "+275760-09-13T00:00:00Z", "soon", "0"];
const ROOMS = [
  ...["s-a", "s-a", "s-a", "s-b", "s-b", "s-c", "s-c", "plain"],
  ...["s-*", "*", "s-%2F", "s-%00", "a.b", "x".repeat(300)],
];
const FILTERS = ["true", "1", "data.a > 1", "(", "data".repeat(2_000), "headers['a'] == 'b'"];
const ID_TEXTS = ["a:1", ":", "-", "a:1,-", ",".repeat(500), "ä", "a:99999999999999999999"];

const from = (...values: readonly string[]) => fc.constantFrom(...values);
const token = fc.oneof({ weight: 20, arbitrary: fc.constant("good") }, from("bad", "none"));
/** A header of the protocols, with possible values. */
const header = fc.oneof(
  fc.tuple(fc.constant("stream-closed"), from("true", "TRUE", "1", "false")),
  fc.tuple(fc.constant("stream-ttl"), from(...NUMBERS)),
  fc.tuple(fc.constant("stream-expires-at"), from(...TIMES)),
  fc.tuple(fc.constant("stream-seq"), from(...NUMBERS, "x".repeat(200))),
  fc.tuple(
    fc.constant("stream-forked-from"),
    from(...ROOMS.map((room) => `/v1/streams/${room}`), "/", "s-a"),
  ),
  fc.tuple(fc.constant("stream-fork-offset"), from(...OFFSETS)),
  fc.tuple(fc.constant("stream-fork-sub-offset"), from(...NUMBERS)),
  fc.tuple(fc.constant("producer-id"), from("p", "q", "x".repeat(200))),
  fc.tuple(fc.constant("producer-epoch"), from(...NUMBERS)),
  fc.tuple(fc.constant("producer-seq"), from(...NUMBERS)),
  fc.tuple(fc.constant("if-none-match"), from("*", '"x"', 'W/"x"', ",")),
  fc.tuple(fc.constant("last-event-id"), from(...ID_TEXTS.filter((text) => text !== "ä"))),
  fc.tuple(
    fc.constant("accept"),
    from("*/*", "text/html", "text/event-stream;q=0", "application/json", ";;,"),
  ),
  fc.tuple(fc.constant("accept-encoding"), from("gzip", "gzip;q=0", "br", "*")),
);
/** Few at a time: a request with many of them is refused because of the first one. */
const headers = fc.tuple(
  fc.oneof({ weight: 4, arbitrary: fc.constant("application/json") }, from(...TYPES)),
  fc.array(header, { maxLength: 3 }),
).map(([type, more]) => ({ "content-type": type, ...Object.fromEntries(more) }));
const query = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.tuple(fc.constant("offset"), from(...OFFSETS)) },
    fc.tuple(fc.constant("live"), from("long-poll", "sse", "x", "")),
    fc.tuple(fc.constant("cursor"), from(...NUMBERS)),
    fc.tuple(fc.constant("room"), from(...ROOMS)),
    fc.tuple(fc.constant("ticket"), from("x", "", "a".repeat(500))),
    fc.tuple(fc.constant("filter"), from(...FILTERS)),
    fc.tuple(fc.constant("after_offset"), from(...NUMBERS)),
    fc.tuple(fc.constant("epoch"), from("x", "")),
    fc.tuple(fc.constant("last_event_id"), from(...ID_TEXTS)),
  ),
  { maxLength: 2 },
);
const path = fc.oneof(
  { weight: 4, arbitrary: from(...ROOMS).map((room) => `streams/${room}`) },
  from(...ROOMS).map((room) => `rooms/${room}/events`),
  from("events", "tickets", "streams", "streams/", "streams/s-a/b"),
);
const body = fc.option(
  from(
    ...[
      "1",
      "[2,3]",
      '{"a":{"b":"c"}}',
      "4",
      '["five"]',
      "",
      "{}",
      "[]",
      "[[[]]]",
      '{"rooms":["s-a"]}',
      '{"rooms":"s-a"}',
      '{"rooms":[]}',
      "\0",
    ],
    ...["[1,2,3]", "[1,", "\ufeff1", '"\\ud800"', "text", "x".repeat(300_000), "[0".repeat(9_000)],
  ),
  { nil: undefined },
);
const method = from("GET", "GET", "HEAD", "PUT", "POST", "POST", "DELETE", "PATCH", "OPTIONS");
const request = fc.record({ method, path, query, headers, token, body });

type Request = typeof request extends fc.Arbitrary<infer Made> ? Made : never;

async function ask(bus: TestBus, params: Request): Promise<void> {
  const { method, path, query, headers, token, body } = params;
  const authorization = { good: `Bearer ${bus.token}`, bad: "Bearer x.y.z" }[token];
  const url = `${bus.http_url}/v1/${path}?${new URLSearchParams(query)}`;
  const leave = new AbortController();
  const answer = await fetch(url, {
    method,
    headers: { ...headers, ...(authorization ? { authorization } : {}) },
    ...(body === undefined || method === "GET" || method === "HEAD" ? {} : { body }),
    signal: leave.signal,
  });
  const { status } = answer;
  await using _end = atEnd(() => leave.abort());
  assert.ok(STATUSES.has(status), `${status}`);
  if (answer.headers.get("content-type") === "text/event-stream") return;
  const text = await answer.text();
  if (status < 400 || method === "HEAD") return;
  const problem = JSON.parse(text);
  assert.equal(problem.status, status);
  assert.ok(typeof problem.reason === "string" && problem.reason !== "", text);
}

Deno.test("fuzz: events, tickets and streams answer every request", async () => {
  await using bus = await startLocalBus(CONFIG, {
    constants: { sse: { tickets: 8 }, streams: { event_stream_ms: 50 } },
  });
  await fc.assert(fc.asyncProperty(request, (params) => ask(bus, params)), {
    numRuns: RUNS,
    seed: SEED,
    endOnFailure: true,
  });
  const ready = await (await fetch(`${bus.ops_url}/health/ready`)).json();
  assert.equal(ready.status, "ok");
  assert.doesNotMatch(bus.log(), /level=error/);
});
