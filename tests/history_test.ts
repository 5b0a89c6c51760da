/** History of a durable room on a real bus: `history.get` in both subprotocols, and over HTTP. */
import assert from "node:assert/strict";
import {
  encodePub,
  readEnvelope,
  readHistory,
  writeEnvelope,
  writeHistoryQuery,
} from "@arqon/proto";
import { startLocalBus } from "./harness/local_bus.ts";
import type { TestBus } from "./harness/test_bus.ts";
import { openBinary, openText } from "./peers/raw_client.ts";
import type { RawClient } from "./peers/raw_client.ts";

const CONFIG = `
[limits]
#constant limits.history_messages = 200
[[rooms]]
room = "kept-*"
durable = true
history_size = 50
[[rooms]]
room = "large-*"
durable = true
history_size = 10_000
`;
const COUNT = 60;

interface Page {
  readonly messages: { offset: number; data: number; sender: string }[];
  readonly offset: number;
  readonly epoch: string;
  readonly more: boolean;
}

/** Publishes numbers from 1 and returns the offset of each. */
async function fill(client: RawClient, room: string, count: number): Promise<number[]> {
  const offsets: number[] = [];
  for (let data = 1; data <= count; data++) {
    client.send({ op: "pub", room, type: "n", data, id: data });
    const ack = await client.json();
    assert.deepEqual([ack.id, ack.code], [data, 0], JSON.stringify(ack));
    offsets.push(ack.offset);
  }
  return offsets;
}

async function ask(client: RawClient, room: string, data: unknown): Promise<Page> {
  client.send({ op: "cmd", room, name: "history.get", data, id: 7 });
  const ack = await client.json();
  assert.equal(ack.code, 0, JSON.stringify(ack));
  return ack.result;
}

async function pages(client: RawClient, offsets: readonly number[]): Promise<void> {
  const room = "kept-1";
  const forward: number[] = [];
  let after = 0;
  for (let more = true; more;) {
    const page = await ask(client, room, { after, limit: 20 });
    assert.equal(page.offset, offsets.at(-1));
    forward.push(...page.messages.map(({ data }) => data));
    more = page.more;
    after = page.messages.at(-1)?.offset ?? after;
  }
  // The class keeps fifty; the tenant's log, for another class, far more.
  assert.deepEqual(forward, Array.from({ length: 50 }, (_, n) => n + 11));
  const newest = await ask(client, room, { reverse: true, limit: 3 });
  assert.deepEqual(newest.messages.map(({ data }) => data), [60, 59, 58]);
  assert.deepEqual(newest.messages.map(({ offset }) => offset), offsets.slice(-3).toReversed());
  assert.equal(newest.more, true);
  const none = await ask(client, room, { after: 5, before: 5 });
  assert.deepEqual([none.messages, none.more], [[], false]);
  const never = await ask(client, "kept-never", {});
  assert.deepEqual([never.messages, never.offset, never.more], [[], 0, false]);
}

async function overHttp(bus: TestBus, client: RawClient): Promise<void> {
  const get = (query: string, headers: Record<string, string> = {}, room = "kept-1") =>
    fetch(`${bus.http_url}/v1/rooms/${room}/messages${query}`, {
      headers: { authorization: `Bearer ${bus.token}`, ...headers },
    });
  const asked = await ask(client, "kept-1", { after: 20, limit: 5 });
  const page = await get("?after=20&limit=5");
  assert.deepEqual(await page.json(), asked);
  assert.equal(page.headers.get("cache-control"), "no-store");
  const protobuf = await get("?after=20&limit=5", { accept: "application/protobuf" });
  const history = readHistory(await protobuf.bytes());
  assert.deepEqual([history.offset, history.epoch], [asked.offset, asked.epoch]);
  assert.deepEqual(
    history.messages.map((one) => readEnvelope(one).offset),
    asked.messages.map(({ offset }) => offset),
  );
  for (
    const [query, room, status, reason] of [
      ["?limit=201", "kept-1", 400, "invalid-field"],
      ["?since=1", "kept-1", 400, "unknown-field"],
      ["", "live", 400, "not-durable"],
      ["", "a.b", 400, "invalid-room"],
    ] as const
  ) {
    const refusal = await get(query, {}, room);
    assert.deepEqual([refusal.status, (await refusal.json()).reason], [status, reason]);
  }
  const method = await fetch(`${bus.http_url}/v1/rooms/kept-1/messages`, { method: "PUT" });
  await method.body?.cancel();
  assert.deepEqual([method.status, method.headers.get("allow")], [405, "GET, POST, HEAD, OPTIONS"]);
}

async function grants(bus: TestBus): Promise<void> {
  const actions = ["publish", "command"];
  const token = await bus.tokenFor({ claims: { grants: [{ room: "*", actions }] } });
  using client = await openText(bus.url, token);
  client.send({ op: "cmd", room: "kept-1", name: "history.get", id: 1 });
  const ack = await client.json();
  const path = `${bus.http_url}/v1/rooms/kept-1/messages`;
  const response = await fetch(path, { headers: { authorization: `Bearer ${token}` } });
  const problem = await response.json();
  assert.deepEqual([ack.code, ack.reason], [403, "not-granted"]);
  assert.deepEqual([problem.status, problem.reason], [403, "not-granted"]);
}

async function binary(bus: TestBus, offsets: readonly number[]): Promise<void> {
  using client = await openBinary(bus.url, bus.token);
  const data = writeHistoryQuery({ after: offsets[56] ?? 0 });
  const command = { name: "history.get", data, content_type: "application/protobuf" };
  client.send(encodePub(writeEnvelope({ room_id: "kept-1", request_id: 3, command })));
  const frame = await client.frame();
  assert.equal(frame.kind, "ack");
  if (frame.kind !== "ack") return;
  assert.deepEqual([frame.ack.request_id, frame.ack.code], [3, 0], frame.ack.message);
  const history = readHistory(frame.ack.result);
  assert.deepEqual(history.messages.map((one) => readEnvelope(one).offset), offsets.slice(57));
}

Deno.test("who may hear a durable room may read what was said in it", async (t) => {
  await using bus = await startLocalBus(CONFIG);
  using client = await openText(bus.url, bus.token);
  await fill(client, "large-1", 5);
  const offsets = await fill(client, "kept-1", COUNT);
  await t.step("exactly what its class keeps, page by page", () => pages(client, offsets));
  await t.step("over HTTP", () => overHttp(bus, client));
  await t.step("in Protobuf", () => binary(bus, offsets));
  await t.step("and nobody else", () => grants(bus));
});
