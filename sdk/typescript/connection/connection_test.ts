// The SDK against a real bus: one bus for all steps, tokens as a token server would make them.
import assert from "node:assert/strict";
import { ArqonError, type Reason } from "@arqon/proto";
import { startBus, type TestBus } from "../../../tests/harness/bus.ts";
import { connect, type Message, type Status, type Subscription } from "../mod.ts";

const refusedWith = (reason: Reason) => (error: unknown) => {
  assert.ok(error instanceof ArqonError, String(error));
  assert.equal(error.reason, reason, error.message);
  return true;
};

/**
 * Below the range that is promised, which moves the refresh from 75 % of the token's life to the
 * shortest wait there is (1 s), far from its end: so no slow machine lets the token expire.
 */
const REFRESH_AT_ONCE = () => -5;

async function next(subscription: Subscription): Promise<Message> {
  const { value } = await subscription.next();
  assert.ok(value !== undefined, "the subscription ended");
  return value;
}

async function bytesAndSender(bus: TestBus): Promise<void> {
  const { url } = bus;
  await using connection = await connect({ url, token: await bus.tokenFor({ user: "ann" }) });
  const room = connection.room("sdk-1");
  using messages = room.subscribe();
  await messages.ready;
  const ack = await room.publish("chat", { text: "hi", n: [1, 2] }, {
    message_id: "m1",
    headers: { "X-Own": "yes" },
  });
  assert.equal(ack.code, 0);
  await room.publish("note", "plain");
  await room.publish("blob", new Uint8Array([0, 255]));
  const [json, text, blob] = [await next(messages), await next(messages), await next(messages)];
  assert.deepEqual(
    [json.room, json.type, json.sender, json.message_id, json.content_type],
    ["sdk-1", "chat", "ann", "m1", "application/json"],
  );
  assert.deepEqual(json.json(), { text: "hi", n: [1, 2] });
  assert.equal(json.headers["X-Own"], "yes");
  assert.match(json.trace_id, /^[0-9a-f]{32}$/);
  assert.ok(json.timestamp_ms > 0);
  assert.equal(text.text(), "plain");
  assert.deepEqual([...blob.data], [0, 255]);
  assert.throws(() => blob.text(), TypeError);
}

async function twoLoops(bus: TestBus): Promise<void> {
  const { url, token } = bus;
  await using connection = await connect({ url, token });
  const room = connection.room("sdk-2");
  const [one, other] = [room.subscribe(), room.subscribe()];
  await Promise.all([one.ready, other.ready]);
  assert.throws(() => room.subscribe({ no_echo: true }), /no_echo = false/);
  await room.publish("x", 1);
  assert.deepEqual([(await next(one)).json(), (await next(other)).json()], [1, 1]);
  one.close();
  await room.publish("x", 2);
  assert.equal((await next(other)).json(), 2);
  assert.equal((await one.next()).done, true);
  other.close();
  // The room is free again, also for other options, and the new loop hears only what comes now.
  using again = room.subscribe({ no_echo: true });
  await again.ready;
  await room.publish("x", 3);
  await using friend = await connect({ url, token });
  await friend.room("sdk-2").publish("x", 4);
  assert.equal((await next(again)).json(), 4);
}

async function noEcho(bus: TestBus): Promise<void> {
  const { url, token } = bus;
  await using speaker = await connect({ url, token });
  await using listener = await connect({ url, token });
  using own = speaker.room("sdk-3").subscribe({ no_echo: true });
  using heard = listener.room("sdk-3").subscribe();
  await Promise.all([own.ready, heard.ready]);
  await speaker.room("sdk-3").publish("x", "mine");
  await listener.room("sdk-3").publish("x", "theirs");
  assert.equal((await next(heard)).text(), "mine");
  assert.equal((await next(own)).text(), "theirs");
}

async function inOrder(bus: TestBus): Promise<void> {
  const { url, token } = bus;
  await using connection = await connect({ url, token });
  const room = connection.room("sdk-4");
  using messages = room.subscribe();
  await messages.ready;
  const count = 3_000;
  const published = Promise.all(Array.from({ length: count }, (_, n) => room.publish("n", n)));
  for (let n = 0; n < count; n += 1) assert.equal((await next(messages)).json(), n);
  await published;
  await room.publish("last", "without ack", { ack: false });
  assert.equal((await next(messages)).text(), "without ack");
}

async function commands(bus: TestBus): Promise<void> {
  const { url } = bus;
  await using connection = await connect({ url, token: await bus.tokenFor({ role: "service" }) });
  const room = connection.room("sdk-5");
  const set = await room.command("room.set", { key: "topic", value: "tea" });
  const { version } = set.json() as { version: number };
  const got = await room.command("room.get", { key: "topic" });
  const read = got.json() as { value: unknown; version: number };
  assert.deepEqual([read.value, read.version], ["tea", version]);
  await assert.rejects(
    room.command("room.set", { key: "topic", value: "milk" }, { expect_version: 9 }),
    refusedWith("version-conflict"),
  );
}

async function missingGrant(bus: TestBus): Promise<void> {
  const { url } = bus;
  const claims = { grants: [{ room: "chat-*", actions: ["subscribe"] }] };
  await using connection = await connect({ url, token: await bus.tokenFor({ claims }) });
  const refused = connection.room("secret").subscribe();
  await assert.rejects(refused.ready, refusedWith("not-granted"));
  await assert.rejects(refused.next(), refusedWith("not-granted"));
  await assert.rejects(connection.room("chat-1").publish("x", 1), refusedWith("not-granted"));
  assert.throws(() => connection.room("a.b"), refusedWith("invalid-room"));
}

async function refusalWithoutAck(bus: TestBus): Promise<void> {
  const { url } = bus;
  const refused = Promise.withResolvers<ArqonError>();
  const claims = { grants: [{ room: "chat-*", actions: ["subscribe"] }] };
  await using connection = await connect({
    url,
    token: await bus.tokenFor({ claims }),
    onError: refused.resolve,
  });
  await connection.room("chat-1").publish("x", 1, { ack: false });
  assert.equal((await refused.promise).reason, "not-granted");
}

async function tooLarge(bus: TestBus): Promise<void> {
  const { url, token } = bus;
  await using connection = await connect({ url, token });
  const data = new Uint8Array(connection.welcome.max_frame_bytes);
  const room = connection.room("sdk-6");
  await assert.rejects(room.publish("x", data), refusedWith("message-too-large"));
  await room.publish("x", "still here");
}

async function expiredToken(bus: TestBus): Promise<void> {
  const { url, token } = bus;
  const asked: (string | undefined)[] = [];
  const expired = await bus.tokenFor({ ttl_seconds: -3_600 });
  await using connection = await connect({
    url,
    getToken: ({ refused }) => {
      asked.push(refused?.reason);
      return refused === undefined ? expired : token;
    },
  });
  assert.equal(connection.status.state, "open");
  assert.deepEqual(asked, [undefined, "token-expired"]);
}

async function badTokens(bus: TestBus): Promise<void> {
  const { url } = bus;
  const expired = await bus.tokenFor({ ttl_seconds: -3_600 });
  await assert.rejects(connect({ url, token: expired }), refusedWith("token-expired"));
  const foreign = await bus.tokenFor({ claims: { iss: "elsewhere" } });
  await assert.rejects(connect({ url, token: foreign }), refusedWith("token-issuer"));
  await assert.rejects(connect({ url, token: "a b" }), refusedWith("token-malformed"));
  let asked = 0;
  const always = () => (asked += 1, foreign);
  await assert.rejects(connect({ url, getToken: always }), refusedWith("token-issuer"));
  assert.equal(asked, 2, "asked once more after the refusal, then given up");
}

async function refreshed(bus: TestBus): Promise<void> {
  const { url } = bus;
  const statuses: Status[] = [];
  const refreshed = Promise.withResolvers<void>();
  let asked = 0;
  await using connection = await connect({
    url,
    getToken: async () => {
      asked += 1;
      // Twice, so that the second refresh was planned from the first one's answer.
      if (asked === 3) refreshed.resolve();
      return await bus.tokenFor({ ttl_seconds: 600 });
    },
    random: REFRESH_AT_ONCE,
    onStatus: (status) => statuses.push(status),
    onError: (error) => refreshed.reject(error),
  });
  await refreshed.promise;
  await connection.room("sdk-7").publish("x", 1);
  assert.deepEqual(statuses.map((status) => status.state), ["connecting", "open"]);
}

async function refreshedForAnother(bus: TestBus): Promise<void> {
  const { url } = bus;
  let asked = 0;
  const connection = await connect({
    url,
    getToken: () => bus.tokenFor({ user: `user-${asked++}` }),
    random: REFRESH_AT_ONCE,
  });
  const loop = connection.room("sdk-8").subscribe();
  await assert.rejects(loop.next(), refusedWith("refresh-mismatch"));
  assert.equal((await connection.closed)?.reason, "refresh-mismatch");
  await assert.rejects(connection.room("x").publish("x", 1), refusedWith("connection-closed"));
}

async function closing(bus: TestBus): Promise<void> {
  const { url, token } = bus;
  const connection = await connect({ url, token });
  const loop = connection.room("sdk-9").subscribe();
  await loop.ready;
  const ended = loop.next();
  const late = connection.room("sdk-9").publish("x", 1).catch((error) => error.reason);
  await Promise.all([connection.close(), connection.close()]);
  assert.equal((await ended).done, true);
  assert.equal(await late, "connection-closed");
  assert.equal(await connection.closed, undefined);
  assert.throws(() => connection.room("x").subscribe(), refusedWith("connection-closed"));
}

async function aborting(bus: TestBus): Promise<void> {
  const { url, token } = bus;
  const stop = new AbortController();
  const connection = await connect({ url, token, signal: stop.signal });
  stop.abort();
  assert.equal(await connection.closed, undefined);
  const { reason } = stop.signal;
  await assert.rejects(connect({ url, token, signal: stop.signal }), (error) => error === reason);
}

Deno.test("the SDK on a running bus", async (t) => {
  await using bus = await startBus();
  await t.step(
    "what is published arrives with its bytes, type and sender",
    () => bytesAndSender(bus),
  );
  await t.step(
    "two loops on one room both hear it, and leaving both ends the subscription",
    () => twoLoops(bus),
  );
  await t.step("no_echo leaves out what the connection publishes itself", () => noEcho(bus));
  await t.step("thousands of pipelined publishes arrive in order", () => inOrder(bus));
  await t.step(
    "commands answer with JSON, a stale version is 'version-conflict'",
    () => commands(bus),
  );
  await t.step(
    "a grant that is missing fails the loop and the publish: 'not-granted'",
    () => missingGrant(bus),
  );
  await t.step("a refusal of a publish without ACK reaches onError", () => refusalWithoutAck(bus));
  await t.step(
    "too large a message is refused before it ends the connection: 'message-too-large'",
    () => tooLarge(bus),
  );
  await t.step(
    "an expired token asks getToken again, with the reason, and then opens",
    () => expiredToken(bus),
  );
  await t.step(
    "bad tokens reject with their reason, whatever the WebSocket hides",
    () => badTokens(bus),
  );
  await t.step(
    "a token is refreshed before it ends, without a new connection",
    () => refreshed(bus),
  );
  await t.step(
    "a refresh for somebody else ends the connection: 'refresh-mismatch'",
    () => refreshedForAnother(bus),
  );
  await t.step("closing ends loops and rejects what waits, once and for all", () => closing(bus));
  await t.step("aborting the signal closes, also before it is open", () => aborting(bus));
});

Deno.test("a bus that is killed and started again: reconnect, resubscribe, GAP, and nothing repeatable is lost", async () => {
  const states: string[] = [];
  const first = await startBus();
  const port = new URL(first.url).port;
  const connection = await connect({
    url: first.url,
    token: first.token,
    backoff: { base_ms: 20, max_ms: 200 },
    onStatus: ({ state }) => states.push(state),
  });
  const room = connection.room("lobby");
  const messages = room.subscribe();
  await messages.ready;
  await room.publish("before", 1);
  assert.equal((await next(messages)).type, "before");
  await first.stop("SIGKILL");
  // Waits for the reconnect, then goes out.
  const meanwhile = room.publish("meanwhile", 2, { message_id: "m2", timeout_ms: 60_000 });
  await using second = await startBus(["--port", port]);
  assert.equal((await meanwhile).code, 0);
  const gap = await next(messages);
  assert.deepEqual([gap.signal?.kind, gap.signal?.reason], ["GAP", "reconnect"]);
  assert.equal((await next(messages)).type, "meanwhile");
  assert.deepEqual([states[0], states[1], states[2]], ["connecting", "open", "waiting"]);
  assert.equal(states.at(-1), "open");
  await connection.close();
  await first[Symbol.asyncDispose]();
  assert.equal(new URL(second.url).port, port);
});

Deno.test("a rate limit is waited out: every acknowledged publish gets through", async () => {
  const folder = await Deno.makeTempDir();
  const config = `${folder}/config.toml`;
  await Deno.writeTextFile(
    config,
    '[server]\nhost = "127.0.0.1"\n[limits]\nmessages_per_second = 100\n',
  );
  await using bus = await startBus(["--config", config]);
  // A machine may stand still for longer than the ten seconds that a program would wait.
  const { url, token } = bus;
  await using connection = await connect({ url, token, request_timeout_ms: 60_000 });
  const room = connection.room("lobby");
  // The burst is 200, so a part of these is refused with 429 first.
  const acks = await Promise.all(Array.from({ length: 300 }, (_, n) => room.publish("n", n)));
  assert.ok(acks.every((ack) => ack.code === 0));
  const metrics = await (await fetch(`${bus.ops_url}/metrics`)).text();
  assert.match(metrics, /rate-limited/);
  await Deno.remove(folder, { recursive: true });
});
