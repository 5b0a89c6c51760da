/**
 * Durable rooms as streams on a real bus, beyond the conformance package: grants, schemas, bans, classes without
 * storage, forks of deleted streams. `deno task conformance:streams` covers the protocol itself, the model's source and
 * reader `stream` the same room on a socket.
 */
import assert from "node:assert/strict";
import { stream } from "@durable-streams/client";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { openText } from "./peers/raw_client.ts";
import { requirePing } from "./peers/schema_admin.ts";
import { temporaryFolder } from "../shared/testing/temporary_folder.ts";
import { until } from "../shared/testing/until.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const CONFIG = `
[server]
drain_ms = 0
[streams]
#constant streams.long_poll_ms = 60_000
[limits]
max_frame_bytes = 4096
[auth]
require_signature = [{ role = "user", room = "s-signed-*" }]
${durableRooms("s-*")}
${durableRooms("s-few-*", "history_size = 2")}
`;
const JSON_TYPE = { "content-type": "application/json" };
const TEXT = { "content-type": "text/plain" };

/** Requests a room's stream with a token. */
function asker(bus: TestBus, token: string) {
  return (
    method: string,
    room: string,
    headers: Record<string, string> = {},
    body?: string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>,
  ): Promise<Response> =>
    fetch(`${bus.http_url}/v1/streams/${room}`, {
      method,
      headers: { ...headers, authorization: `Bearer ${token}` },
      ...(body === undefined ? {} : { body }),
    });
}

type Ask = ReturnType<typeof asker>;

async function expectStatus(answer: Promise<Response>, status: number): Promise<Response> {
  const response = await answer;
  if (response.status !== status) {
    assert.fail(`${response.status} instead of ${status}: ${await response.text()}`);
  }
  return response;
}

async function waits(bus: TestBus, ask: Ask): Promise<void> {
  await expectStatus(ask("PUT", "s-wait", TEXT), 201);
  const waiting = ask("GET", "s-wait?offset=now&live=long-poll");
  using socket = await openText(bus.url, bus.token);
  // Whether the reader is waiting already or not: a message stored after `now` may arrive before it reads.
  const next = (await ask("HEAD", "s-wait")).headers.get("stream-next-offset");
  const sure = ask("GET", `s-wait?offset=${next}&live=long-poll`);
  socket.send({
    op: "pub",
    room: "s-wait",
    type: "x",
    data: "heard",
    id: 1,
    content_type: "text/plain",
  });
  assert.equal((await socket.json()).code, 0);
  assert.equal(await (await expectStatus(sure, 200)).text(), "heard");
  await expectStatus(ask("POST", "s-wait", { "stream-closed": "true" }), 204);
  const ended = await waiting;
  assert.ok(ended.status === 204 || await ended.text() === "heard");
  const events = await expectStatus(ask("GET", "s-wait?offset=-1&live=sse"), 200);
  const text = await events.text();
  assert.match(text, /^event: data\ndata:heard\n\nevent: control\ndata:\{.*"streamClosed":true/);
  // Publishing on a socket continues in the room; the stream has ended.
  socket.send({
    op: "pub",
    room: "s-wait",
    type: "x",
    data: "late",
    id: 2,
    content_type: "text/plain",
  });
  assert.equal((await socket.json()).code, 0);
  const after = await expectStatus(ask("GET", "s-wait"), 200);
  assert.deepEqual([await after.text(), after.headers.get("stream-closed")], ["heard", "true"]);
}

/** Readers of idle streams are notified when they may not read any longer, and get no fork by a slow request. */
async function losesReaders(bus: TestBus, ask: Ask): Promise<void> {
  const headers = {
    ...JSON_TYPE,
    authorization: `Bearer ${await bus.tokenFor({ role: "admin", user: "root" })}`,
  };
  const admin = async (method: string, path: string, body: unknown) => {
    const request = { method, headers, body: JSON.stringify(body) };
    assert.equal((await fetch(`${bus.admin_url}/v1/${path}`, request)).status, 200);
  };
  const causes: Record<string, [number, () => Promise<void>]> = {
    "s-ban": [
      403,
      () =>
        admin("POST", "rooms/default/s-ban/ban", { user_id: "ann", scope: "room", ttl_ms: 60_000 }),
    ],
    "s-class": [
      404,
      () => admin("PUT", "tenants/default/rooms", { room: "s-class", durable: false }),
    ],
    "s-revoke": [401, () => admin("POST", "revocations", { tenant: "default", user: "ann" })],
  };
  const asAnn = asker(bus, await bus.tokenFor({ user: "ann" }));
  for (const [room, [status, happens]] of Object.entries(causes)) {
    await expectStatus(ask("PUT", room, JSON_TYPE), 201);
    const slow = new TransformStream<Uint8Array, Uint8Array>();
    const from = { ...JSON_TYPE, "stream-forked-from": `/v1/streams/${room}` };
    const fork = asAnn("PUT", `${room}-fork`, from, slow.readable);
    const writer = slow.writable.getWriter();
    await writer.write(new Uint8Array([91, 49]));
    const polled = asAnn("GET", `${room}?offset=now&live=long-poll`);
    const events = await expectStatus(asAnn("GET", `${room}?offset=-1&live=sse`), 200);
    await happens();
    await expectStatus(polled, status);
    await writer.write(new Uint8Array([93]));
    await writer.close();
    // The fork of a room that is no stream any longer has no readers until it is one again.
    await expectStatus(fork, room === "s-class" ? 201 : status);
    assert.equal((await events.text()).match(/event: control/g)?.length, 1, room);
  }
}

async function refusals(bus: TestBus, ask: Ask): Promise<void> {
  await expectStatus(ask("PUT", "plain", TEXT), 405);
  await expectStatus(ask("POST", "plain", TEXT, "x"), 405);
  await expectStatus(ask("DELETE", "plain"), 405);
  await expectStatus(ask("GET", "plain"), 404);
  await expectStatus(ask("PUT", "a.b", TEXT), 400);
  await expectStatus(ask("PUT", "s-own", TEXT), 201);
  await expectStatus(ask("POST", "s-own", TEXT, "x".repeat(5_000)), 413);
  await expectStatus(ask("POST", "s-own", JSON_TYPE, "1"), 409);
  const grants = (...actions: string[]) => ({ grants: [{ room: "s-own", actions }] });
  const as = async (...actions: string[]) =>
    asker(bus, await bus.tokenFor({ claims: grants(...actions) }));
  const reader = await as("subscribe");
  const writer = await as("publish");
  const none = await as("presence");
  await expectStatus(reader("GET", "s-own"), 200);
  await expectStatus(reader("POST", "s-own", TEXT, "x"), 403);
  await expectStatus(reader("PUT", "s-own", TEXT), 403);
  await expectStatus(reader("DELETE", "s-own"), 403);
  await expectStatus(writer("POST", "s-own", TEXT, "x"), 204);
  await expectStatus(writer("GET", "s-own"), 403);
  await expectStatus(writer("DELETE", "s-own"), 403);
  await expectStatus(none("HEAD", "s-own"), 403);
  // A stream that expires takes what others have written with it.
  const brief = [{ room: "s-brief*", actions: ["publish", "subscribe"] }];
  const hasty = asker(bus, await bus.tokenFor({ claims: { grants: brief } }));
  await expectStatus(hasty("PUT", "s-brief", { ...TEXT, "stream-ttl": "1" }), 403);
  await expectStatus(hasty("PUT", "s-brief", TEXT), 201);
  await expectStatus(ask("PUT", "s-brief-1", { ...TEXT, "stream-ttl": "60" }), 201);
  const heir = { "stream-forked-from": "/v1/streams/s-brief-1" };
  await expectStatus(hasty("PUT", "s-brief-2", heir), 403);
  // So does an end by a request, which nobody signs.
  await expectStatus(ask("PUT", "s-signed-1", TEXT), 201);
  const unsigned = [
    ask("DELETE", "s-signed-1"),
    ask("PUT", "s-signed-2", { ...TEXT, "stream-ttl": "60" }),
    ask("POST", "s-signed-1", TEXT, "x"),
  ];
  for (const answer of unsigned) {
    assert.equal((await (await expectStatus(answer, 403)).json()).reason, "signature-required");
  }
  const fork = { "stream-forked-from": "/v1/streams/s-other" };
  await expectStatus(ask("PUT", "s-other", TEXT), 201);
  await expectStatus(writer("PUT", "s-own", fork), 403);
}

/** A cache that revalidates a page gets another one after an erasure. */
async function erased(bus: TestBus, ask: Ask): Promise<void> {
  await expectStatus(ask("PUT", "s-erased", JSON_TYPE), 201);
  await expectStatus(ask("POST", "s-erased", JSON_TYPE, "[1,2,3]"), 204);
  const etag = async () => (await expectStatus(ask("GET", "s-erased"), 200)).headers.get("etag")!;
  const before = await etag();
  await expectStatus(ask("GET", "s-erased", { "if-none-match": before }), 304);
  const history = `${bus.http_url}/v1/rooms/s-erased/messages`;
  const headers = { authorization: `Bearer ${bus.token}` };
  const { messages } = await (await fetch(history, { headers })).json();
  const admin = new HttpPeer(bus.admin_url, await bus.tokenFor({ role: "admin" }));
  const { offset } = messages[1];
  const erase = { tenant: "default", room: "s-erased", offset };
  assert.equal((await admin.call("POST", "data/erase", erase)).status, 200);
  const after = await expectStatus(ask("GET", "s-erased", { "if-none-match": before }), 200);
  assert.deepEqual(await after.json(), [1, 3]);
}

async function schemas(bus: TestBus, ask: Ask): Promise<void> {
  await requirePing(bus, "default", "s-judged");
  await expectStatus(ask("PUT", "s-judged", JSON_TYPE), 201);
  const refused = await expectStatus(ask("POST", "s-judged", JSON_TYPE, '[{"n":1},{}]'), 400);
  assert.equal((await refused.json()).reason, "schema-violation");
  const empty = await expectStatus(ask("GET", "s-judged"), 200);
  assert.deepEqual(await empty.json(), [], "all of a body or nothing of it");
  await expectStatus(ask("POST", "s-judged", JSON_TYPE, '[{"n":1},{"n":2}]'), 204);
}

async function trimmed(ask: Ask): Promise<void> {
  await expectStatus(ask("PUT", "s-few-1", TEXT), 201);
  const offsets: string[] = [];
  for (const text of ["a", "b", "c", "d"]) {
    const { headers } = await expectStatus(ask("POST", "s-few-1", TEXT, text), 204);
    offsets.push(headers.get("stream-next-offset") ?? "");
  }
  assert.equal(await (await ask("GET", "s-few-1")).text(), "cd", "what is kept");
  assert.equal(await (await ask("GET", `s-few-1?offset=${offsets[2]}`)).text(), "d");
  for (const live of ["", "&live=long-poll", "&live=sse"]) {
    await expectStatus(ask("GET", `s-few-1?offset=${offsets[0]}${live}`), 410);
  }
}

async function deletes(ask: Ask): Promise<void> {
  await expectStatus(ask("PUT", "s-tree", TEXT, "root "), 201);
  await expectStatus(ask("PUT", "s-leaf", { "stream-forked-from": "/v1/streams/s-tree" }), 201);
  await expectStatus(ask("POST", "s-leaf", TEXT, "leaf"), 204);
  await expectStatus(ask("DELETE", "s-tree"), 204);
  await expectStatus(ask("GET", "s-tree"), 410);
  await expectStatus(ask("PUT", "s-tree", TEXT), 409);
  assert.equal(await (await ask("GET", "s-leaf")).text(), "root leaf");
  await expectStatus(ask("DELETE", "s-leaf"), 204);
  await expectStatus(ask("GET", "s-tree"), 404);
  await expectStatus(ask("PUT", "s-tree", TEXT), 201);
  assert.equal(await (await ask("GET", "s-tree")).text(), "", "nothing earlier");
}

/** A fork loses what it inherited with an erased source, and nothing else. */
async function sourceErased(bus: TestBus, ask: Ask): Promise<void> {
  const admin = new HttpPeer(bus.admin_url, await bus.tokenFor({ role: "admin" }));
  const forkedFrom = (name: string) => ({ "stream-forked-from": `/v1/streams/${name}` });
  const next = ({ headers }: Response) => headers.get("stream-next-offset");
  const middle = next(await expectStatus(ask("PUT", "s-root", TEXT, "root "), 201));
  const end = next(await expectStatus(ask("POST", "s-root", TEXT, "root "), 204));
  await expectStatus(ask("PUT", "s-other-root", TEXT, "elsewhere"), 201);
  await expectStatus(ask("PUT", "s-waits", forkedFrom("s-root")), 201);
  await expectStatus(ask("PUT", "s-fork", forkedFrom("s-root")), 201);
  await expectStatus(ask("POST", "s-fork", TEXT, "fork "), 204);
  await expectStatus(ask("PUT", "s-fork-2", forkedFrom("s-fork")), 201);
  const tail = next(await expectStatus(ask("POST", "s-fork-2", TEXT, "own "), 204));
  const order = { tenant: "default", room: "s-root" };
  assert.equal((await admin.call("POST", "data/erase", order)).status, 200);
  for (
    const [name, kept] of [["s-waits", ""], ["s-fork", "fork "], ["s-fork-2", "fork own "]] as const
  ) {
    await expectStatus(ask("POST", name, TEXT, "later"), 204);
    assert.equal(await (await ask("GET", name)).text(), `${kept}later`);
    assert.equal(await (await ask("GET", `${name}?offset=${end}`)).text(), `${kept}later`);
    await expectStatus(ask("GET", `${name}?offset=${middle}`), 410);
  }
  assert.equal(await (await ask("GET", `s-fork-2?offset=${tail}`)).text(), "later");
}

/** Every reader gets the bytes of a text, also where appends have split its characters. */
async function splits(bus: TestBus, ask: Ask): Promise<void> {
  const latin = { "content-type": "text/plain; charset=iso-8859-1" };
  const bytes = new TextEncoder().encode("\uFEFFhé€😀 ✓");
  await expectStatus(ask("PUT", "s-split", TEXT), 201);
  await expectStatus(ask("PUT", "s-latin", latin, Uint8Array.of(0xe9, 0xff)), 201);
  const url = `${bus.http_url}/v1/streams/s-split`;
  const headers = { authorization: `Bearer ${bus.token}` };
  const live = async (mode: "sse" | "long-poll") => {
    const read = await stream({ url, headers, offset: "-1", live: mode });
    return await new Response(read.bodyStream()).bytes();
  };
  const reading = Promise.all([live("sse"), live("long-poll")]);
  for (const byte of bytes) {
    await expectStatus(ask("POST", "s-split", TEXT, Uint8Array.of(byte)), 204);
  }
  await expectStatus(ask("POST", "s-split", { "stream-closed": "true" }), 204);
  for (const got of await reading) assert.deepEqual(got, bytes);
  const events = await expectStatus(ask("GET", "s-latin?offset=-1&live=sse"), 200);
  assert.equal(events.headers.get("stream-sse-data-encoding"), "base64");
  await events.body?.cancel();
  // The client gives up after a few answers that end early, so there is one.
  await expectStatus(ask("PUT", "s-often", TEXT, "a"), 201);
  const begun = await expectStatus(ask("GET", "s-often?offset=-1&live=sse"), 200);
  await expectStatus(ask("POST", "s-often", TEXT, Uint8Array.of(0xc3)), 204);
  await begun.text();
  await expectStatus(ask("POST", "s-often", TEXT, Uint8Array.of(0xa9)), 204);
  const next = await expectStatus(ask("GET", "s-often?offset=-1&live=sse"), 200);
  assert.equal(next.headers.get("stream-sse-data-encoding"), "base64");
  await next.body?.cancel();
}

const HOUR_MS = 3_600_000;

Deno.test("streams: a start with a clock that is ahead by hours removes none", async () => {
  await using data_dir = await temporaryFolder();
  let ahead_ms = 0;
  const started = () =>
    startLocalBus(CONFIG, { data_dir: data_dir.path, now: () => Date.now() + ahead_ms });
  const asked = async (ask: Ask) => {
    const answers = await Promise.all(["s-idle", "s-until"].map((room) => ask("GET", room)));
    return await Promise.all(answers.map((answer) => answer.text()));
  };
  {
    await using bus = await started();
    const ask = asker(bus, bus.token);
    const expires = { "stream-expires-at": new Date(Date.now() + HOUR_MS).toISOString() };
    await expectStatus(ask("PUT", "s-idle", { ...TEXT, "stream-ttl": "3600" }, "one"), 201);
    await expectStatus(ask("PUT", "s-until", { ...TEXT, ...expires }, "two"), 201);
    // A short life ends in time, also in a process that has just started.
    await expectStatus(ask("PUT", "s-short", { ...TEXT, "stream-ttl": "1" }, "three"), 201);
    const isGone = async () => (await ask("HEAD", "s-short")).status === 404;
    await until("the short one is removed", isGone);
  }
  for (const ahead of [2 * HOUR_MS, 0]) {
    ahead_ms = ahead;
    await using bus = await started();
    const ask = asker(bus, await bus.tokenFor({ ttl_seconds: 10_800 }));
    assert.deepEqual(await asked(ask), ["one", "two"]);
  }
});

Deno.test("streams: sockets, grants, schemas and classes hold on each request", async (test) => {
  await using bus = await startLocalBus(CONFIG);
  const ask = asker(bus, bus.token);
  await test.step("readers wait, and a closed stream has ended", () => waits(bus, ask));
  await test.step("a text whose characters appends have split", () => splits(bus, ask));
  await test.step("a reader that may not read any longer is notified", () =>
    losesReaders(bus, ask));
  await test.step("anything not granted or not stored is refused", () => refusals(bus, ask));
  await test.step("a schema refuses all of a body", () => schemas(bus, ask));
  await test.step("removed messages are gone, not skipped", () => trimmed(ask));
  await test.step("a page without an erased message is another one", () => erased(bus, ask));
  await test.step("a deleted stream is kept only for its forks", () => deletes(ask));
  await test.step("an erased source takes only its own messages", () => sourceErased(bus, ask));
});
