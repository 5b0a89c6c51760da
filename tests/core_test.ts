/**
 * What a bus does without any capability, end to end over real sockets and HTTP: with all capabilities, with each left
 * out of both servers in turn, and with none. `tests/model` covers both wire forms and HTTP, order, echo, other tenants
 * and repeated ids.
 */
import assert from "node:assert/strict";
import { encodePub, encodeSub, encodeUnsub, type PlainEnvelope, writeEnvelope } from "@arqon/proto";
import { BRAIN_CAPABILITIES } from "../brain/capabilities.ts";
import { SHIELD_CAPABILITIES } from "../shield/capabilities.ts";
import type { Capability } from "../shield/capability.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { ask, openBinary, openText, RawClient } from "./peers/raw_client.ts";

function event(room_id: string, data: Uint8Array, more: Partial<PlainEnvelope> = {}): Uint8Array {
  const payload = { type: "chat", data, content_type: "application/octet-stream", schema_id: "" };
  return encodePub(writeEnvelope({ room_id, event: payload, ...more }));
}

async function welcome(bus: TestBus): Promise<void> {
  const client = new RawClient(bus.url, { token: await bus.tokenFor({ user: "ann" }) });
  const frame = await client.frame();
  assert.equal(client.socket.protocol, "arqon.v1");
  assert(frame.kind === "welcome");
  assert.equal(frame.welcome.user_id, "ann");
  assert.equal(frame.welcome.tenant_id, "default");
  assert.equal(frame.welcome.protocol_version, 1);
  assert(frame.welcome.token_expires_ms > frame.welcome.server_time_ms);
  client[Symbol.dispose]();
  const plain = new RawClient(bus.url, {
    subprotocols: [],
    headers: { authorization: `Bearer ${bus.token}` },
  });
  assert.equal((await plain.frame()).kind, "welcome", "no subprotocol means arqon.v1");
  plain[Symbol.dispose]();
}

async function stamped(bus: TestBus): Promise<void> {
  const client = await openBinary(bus.url, await bus.tokenFor({ user: "ann" }));
  client.send(encodeSub({ room_id: "stamped", request_id: 7 }));
  const subscribed = await client.frame();
  assert(subscribed.kind === "ack" && subscribed.ack.request_id === 7 && subscribed.ack.code === 0);
  const twist = "0190b8a2-7b1c-7def-8abc-0123456789ab";
  client.send(event("stamped", new Uint8Array([0, 255, 10]), {
    request_id: 9,
    sender_id: "somebody-else",
    timestamp_ms: 5,
    offset: 77,
    headers: {
      "X-Custom": "kept",
      "x-arqon-tenant": "forged",
      "x-twist-id": twist,
      "X-TIMESTAMP": "1",
    },
    message_id: "m1",
  }));
  const frames = [await client.frame(), await client.frame()];
  const ack = frames.find((frame) => frame.kind === "ack");
  const message = frames.find((frame) => frame.kind === "msg");
  assert(ack?.kind === "ack" && ack.ack.request_id === 9 && ack.ack.code === 0);
  assert(message?.kind === "msg");
  const { envelope } = message;
  assert.equal(envelope.sender_id, "ann");
  assert.equal(envelope.tenant_id, "default");
  assert.equal(envelope.offset, 0);
  assert.equal(envelope.request_id, 0);
  assert.equal(envelope.message_id, "m1");
  assert.match(envelope.trace_id, /^[0-9a-f]{32}$/);
  assert(Math.abs(envelope.timestamp_ms - Date.now()) < 600_000);
  assert.deepEqual({ ...envelope.headers }, {
    "X-Custom": "kept",
    "X-Twist-ID": twist,
    "X-Timestamp": String(envelope.timestamp_ms),
  });
  assert.deepEqual([...envelope.event?.data ?? []], [0, 255, 10]);
  client.send(encodeUnsub({ room_id: "stamped", request_id: 10 }));
  const left = await client.frame();
  assert(left.kind === "ack" && left.ack.code === 0);
  client[Symbol.dispose]();
}

/** A message by HTTP reaches subscribers once each, in order, until they leave. */
async function published(bus: TestBus): Promise<void> {
  const token = await bus.tokenFor({ user: "ann" });
  const peer = new HttpPeer(bus.http_url, token);
  const publish = (data: number) => peer.done("POST", "rooms/http/messages", { type: "n", data });
  using staying = await openText(bus.url, token);
  using leaving = await openText(bus.url, token);
  for (const one of [staying, leaving]) await ask(one, { op: "sub", room: "http" });
  await publish(1);
  assert.equal((await leaving.json()).data, 1);
  await ask(leaving, { op: "unsub", room: "http" });
  await publish(2);
  assert.deepEqual([(await staying.json()).data, (await staying.json()).data], [1, 2]);
  leaving.send({ op: "ping", data: "nothing between" });
  assert.equal((await leaving.json()).op, "pong");
}

/** Tokens, grants, tenants and roles are enforced. */
async function refused(bus: TestBus): Promise<void> {
  const check = async (token: string) => {
    const headers = { authorization: `Bearer ${token}` };
    const answer = await fetch(`${bus.http_url}/v1/auth/check`, { headers });
    return [answer.status, (await answer.json()).reason];
  };
  assert.deepEqual(await check(`${bus.token}x`), [401, "token-signature"]);
  assert.deepEqual(await check(await bus.tokenFor({ ttl_seconds: -600 })), [401, "token-expired"]);
  const grants = [{ room: "mine", actions: ["subscribe"] }];
  using reader = await openText(bus.url, await bus.tokenFor({ user: "ann", claims: { grants } }));
  const refusal = async (operation: object) => {
    reader.send({ ...operation, id: 1 });
    const { code, reason } = await reader.json();
    return [code, reason];
  };
  await ask(reader, { op: "sub", room: "mine" });
  assert.deepEqual(await refusal({ op: "sub", room: "other" }), [403, "not-granted"]);
  const message = { op: "pub", room: "mine", type: "t", data: 1 };
  assert.deepEqual(await refusal(message), [403, "not-granted"]);
  // A companion room stays reserved when the capability that fills it is left out.
  assert.deepEqual(await refusal({ ...message, room: "mine~members" }), [403, "not-granted"]);
  reader.send({ op: "refresh", token: await bus.tokenFor({ user: "bob" }), id: 1 });
  assert.equal((await reader.json()).reason, "refresh-mismatch");
  assert.equal((await reader.closed()).code, 4401);
}

/** State, locks, kicks and bans of rooms, by way of the Brain. */
async function commanded(bus: TestBus): Promise<void> {
  using ann = await openText(bus.url, await bus.tokenFor({ user: "ann" }));
  using boss = await openText(bus.url, await bus.tokenFor({ user: "boss", role: "service" }));
  const command = (client: RawClient, name: string, data: object) =>
    ask(client, { op: "cmd", room: "state", name, data });
  await command(boss, "room.set", { key: "k", value: [1] });
  const read = await command(ann, "room.get", { key: "k" });
  assert.deepEqual([read.result.value, read.result.exists], [[1], true]);
  assert.ok((await command(ann, "room.lock", {})).result.fence > 0);
  await assert.rejects(command(ann, "room.ban", { user_id: "bob" }), /403/);
  await ask(ann, { op: "sub", room: "state" });
  await command(boss, "room.ban", { user_id: "ann", scope: "room" });
  let frame = await ann.json();
  // The room's update about it may come first.
  while (frame.type === "ROOM_UPDATE") frame = await ann.json();
  const { signal } = frame;
  assert.deepEqual([signal.kind, signal.target], ["BAN", "state"]);
  await assert.rejects(ask(ann, { op: "sub", room: "state" }), /403/);
}

/** Without rooms, commands are refused; the roles that they need are still checked. */
async function withoutRooms(bus: TestBus): Promise<void> {
  using ann = await openText(bus.url, await bus.tokenFor({ user: "ann" }));
  const refusal = async (name: string, data: object) => {
    ann.send({ op: "cmd", room: "state", name, data, id: 1 });
    const { code, reason } = await ann.json();
    return [code, reason];
  };
  assert.deepEqual(await refusal("room.get", {}), [400, "invalid-command"]);
  for (const name of ["room.ban", "ban", "room.kick"]) {
    assert.deepEqual(await refusal(name, { user_id: "bob" }), [403, "command-forbidden"]);
  }
}

function routesOf({ admin, client }: Capability): [admin: string[], client: string[]] {
  const nameOf = ({ method, template }: { readonly method: string; readonly template: string }) =>
    `${method} ${template}`;
  return [
    (admin?.tables ?? []).flatMap((table) => [...table.list()].map(nameOf)),
    [...client?.described ?? [], ...client?.commands ?? []].map(nameOf),
  ];
}

/** Whether a listener has a route, by its description; undefined: it has no description. */
async function described(url: string): Promise<((route: string) => boolean) | undefined> {
  const answer = await fetch(`${url}/v1/openapi.json`);
  if (answer.status === 404) return void await answer.body?.cancel();
  const routes = Object.entries<object>((await answer.json()).paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`)
  );
  return (route) => routes.includes(route);
}

/** Whether a listener has a route, which then asks for a token. */
async function asksForToken(url: string, route: string): Promise<boolean> {
  const [method = "", template = ""] = route.split(" ");
  const answer = await fetch(`${url}${template.replaceAll(/\{\w+\}/g, "x")}`, { method });
  await answer.body?.cancel();
  return answer.status === 401;
}

/** It is ready, and has exactly the paths of these capabilities. */
async function offers(bus: TestBus, capabilities: readonly Capability[]): Promise<void> {
  const admin = new HttpPeer(bus.admin_url, await bus.tokenFor({ role: "admin" }));
  const listeners = [bus.admin_url, bus.http_url].map((url) => ({ url, has: described(url) }));
  for (const capability of SHIELD_CAPABILITIES) {
    const is_there = capabilities.includes(capability);
    for (const [at, routes] of routesOf(capability).entries()) {
      const { url, has } = listeners[at]!;
      const isDescribed = await has;
      for (const route of routes) {
        const message = `${capability.name}: ${route}`;
        if (isDescribed !== undefined) assert.equal(isDescribed(route), is_there, message);
        // What the configuration switches off is described, and not served.
        else if (!is_there) assert.equal(await asksForToken(url, route), false, message);
      }
    }
  }
  assert.equal((await admin.get("status")).status, 200);
  const has_console = capabilities.some(({ name }) => name === "console");
  const pages = [[`${bus.admin_url}/console/`, has_console], [`${bus.ops_url}/health/ready`, true]];
  for (const [url, is_there] of pages) {
    const page = await fetch(String(url));
    await page.body?.cancel();
    assert.equal(page.status, is_there ? 200 : 404, String(url));
  }
  assert.doesNotMatch(bus.log(), /level=error/);
}

function capabilitiesWithout(isLeftOut: (name: string) => boolean) {
  const shield = SHIELD_CAPABILITIES.filter(({ name }) => !isLeftOut(name));
  const brain = BRAIN_CAPABILITIES.filter(({ name }) => !isLeftOut(name));
  return { shield, brain };
}

async function passes(isLeftOut: (name: string) => boolean): Promise<void> {
  const capabilities = capabilitiesWithout(isLeftOut);
  await using bus = await startLocalBus("", { capabilities });
  await offers(bus, capabilities.shield);
  await welcome(bus);
  await stamped(bus);
  await published(bus);
  await refused(bus);
  await (isLeftOut("rooms") ? withoutRooms(bus) : commanded(bus));
}

Deno.test("a bus passes the core's tests with all capabilities", () => passes(() => false));
Deno.test("a bus passes the core's tests without any capability", () => passes(() => true));
for (
  const left_out of new Set([...SHIELD_CAPABILITIES, ...BRAIN_CAPABILITIES].map(({ name }) => name))
) {
  Deno.test(`a bus passes the core's tests without ${left_out}`, () =>
    passes((name) => name === left_out));
}

Deno.test("without capabilities, a SUB that asks for a part of theirs is refused", async () => {
  await using bus = await startLocalBus("", { capabilities: capabilitiesWithout(() => true) });
  using reader = await openText(bus.url, bus.token);
  for (
    const [asked, reason] of [
      [{ room: "a-*" }, "invalid-room"],
      [{ room: "a", filter: "true" }, "invalid-filter"],
      [{ room: "a", presence: true }, "presence-disabled"],
      [{ room: "a", after_offset: 1 }, "not-durable"],
    ] as const
  ) {
    reader.send({ op: "sub", ...asked, id: 1 });
    assert.equal((await reader.json()).reason, reason);
  }
  reader.send({ op: "unsub", room: "a-*", id: 1 });
  assert.equal((await reader.json()).reason, "invalid-room");
});
