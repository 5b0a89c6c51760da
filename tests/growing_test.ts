/**
 * Growing messages on a real bus: what readers receive, authorization, limits, what the room stores, and messages from
 * the body of one request, `POST …/streams`. The focus `growing` of `walks/` kills Shields.
 */
import assert from "node:assert/strict";
import { connect, type Connection, type Room } from "@arqon/sdk";
import type { Reason } from "@arqon/proto";
import { chatTransport } from "@arqon/sdk/ai";
import { openStream, stopStream, stream } from "@arqon/sdk/streams";
import { refusedWith } from "../sdk/typescript/testing/scripted_peer.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { atEnd } from "../shared/testing/at_end.ts";
import { until } from "../shared/testing/until.ts";
import { Received, stored } from "./growing/received.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { startTcpProxy } from "./harness/tcp_proxy.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";
import { send } from "./peers/own_connections.ts";

const ROOMS = durableRooms("chat-*");
const CONFIG = `
[growing]
#constant growing.message_bytes = 1_000
[auth]
require_signature = [{ role = "user", room = "chat-signed" }]
${ROOMS}
[[rooms]]
room = "chat-filtered"
durable = true
filter = "type != 'x'"
`;

const open = async (bus: TestBus, user: string, claims: Record<string, unknown> = {}) =>
  await connect({ url: bus.url, token: await bus.tokenFor({ user, claims }) });

async function receiving(room: Room): Promise<Received> {
  const received = new Received(room);
  // Present readers receive the beginning of a message at once.
  const probe = await openStream(room);
  await until("the reader has subscribed", () => received.of(probe.id) !== undefined);
  await probe.abort("", { keep: false });
  await until("it has ended", () => received.of(probe.id)?.state === "aborted");
  received.all.length = 0;
  return received;
}

/** Readers receive pieces; a later reader gets the present text as one piece; the room has one message in the end. */
async function grows({ ann, bob }: Users): Promise<void> {
  const written = ann.room("chat-1");
  const read = bob.room("chat-1");
  using plain = read.subscribe();
  await plain.ready;
  using received = await receiving(read);
  const out = await openStream(written, { id: "answer-1", type: "answer" });
  const pieces = ["Once ", "upon 🦊", " a time", ""];
  for (const [at, piece] of pieces.entries()) {
    await out.write(piece);
    const so_far = pieces.slice(0, at + 1).join("");
    await until("the piece is received", () => received.of("answer-1")?.text === so_far);
  }
  using late = new Received(read);
  await until("it is stored as one message", () => late.of("answer-1")?.piece === pieces.join(""));
  await out.write("!");
  const { outcome, offset } = await out.finish();
  assert.equal(outcome, "finished");
  for (const reader of [received, late]) {
    await until("the end is received", () => reader.of("answer-1")?.state === "finished");
    assert.deepEqual(reader.of("answer-1"), {
      id: "answer-1",
      type: "answer",
      sender: "ann",
      state: "finished",
      reason: "",
      offset,
      text: `${pieces.join("")}!`,
      piece: "",
      started_ms: reader.of("answer-1")?.started_ms,
    });
  }
  assert.equal(received.pieces("answer-1").join(""), `${pieces.join("")}!`);
  assert.deepEqual(late.pieces("answer-1"), [pieces.join(""), "!", ""]);
  // A reader without support for growing messages receives one message.
  const { value } = await plain.next();
  assert.equal(value?.text(), `${pieces.join("")}!`);
  assert.equal(value?.type, "answer");
  assert.equal(value?.sender, "ann");
  assert.equal(value?.offset, offset);
  assert.equal(value?.headers["x-arqon-growing"], "finished");
  assert.equal((await stored(read)).length, 1);
}

/** A reader with the grant stops it; the producer is notified, and its source is ended. */
async function stopped({ ann, bob, reader, stopper }: Users): Promise<void> {
  const room = ann.room("chat-stop");
  let is_ended = false;
  const source = (async function* () {
    await using _end = atEnd(() => {
      is_ended = true;
    });
    yield "so far";
    await new Promise(() => {});
  })();
  const iterator = source[Symbol.asyncIterator]();
  const expected = {
    [Symbol.asyncIterator]: () => ({
      next: () => iterator.next(),
      return() {
        is_ended = true;
        return Promise.resolve({ done: true as const, value: undefined });
      },
    }),
  };
  using received = await receiving(bob.room("chat-stop"));
  const ending = stream(room, expected, { id: "endless" });
  await until("it grows", () => received.of("endless")?.text === "so far");
  await assert.rejects(
    stopStream(reader.room("chat-stop"), "endless"),
    refusedWith("not-granted"),
  );
  const end = await stopStream(stopper.room("chat-stop"), "endless", "enough");
  const [message] = await stored(room);
  assert.deepEqual(end, { id: "endless", outcome: "stopped", offset: message?.offset });
  assert.deepEqual(await ending, end);
  assert.ok(is_ended);
  await until("the end is received", () => received.of("endless")?.state === "stopped");
  const { text, reason } = received.of("endless")!;
  assert.deepEqual({ text, reason }, { text: "so far", reason: "enough" });
  assert.equal(message?.text(), "so far");
  assert.equal(message?.sender, "ann");
  assert.equal(message?.headers["x-arqon-growing-reason"], "enough");
  await assert.rejects(
    room.command("growing.append", { id: "endless", seq: 2, text: "x" }),
    refusedWith("growing-ended"),
  );
}

/** The bus says how a message ended, whatever its id and its reason are called. */
async function endedByWhom({ ann, writer, reader, stopper }: Users): Promise<void> {
  const grows = (room: Room, id: string) =>
    until(`${id} grows`, async () => {
      const got = await room.command("growing.get", { id }).catch(() => undefined);
      return got?.json<{ text: string }>()?.text === "so far";
    });
  for (const [name, producer] of [["ann", ann], ["writer", writer]] as const) {
    const room = producer.room(`chat-by-${name}`);
    const seen = stopper.room(`chat-by-${name}`);
    const over = Promise.withResolvers<void>();
    // A producer that may not receive the end learns it from the refusal of the next piece.
    const endless = async function* () {
      yield "so far";
      await over.promise;
      for (;;) yield "more";
    };
    const stopped = stream(room, endless(), { id: "a" });
    const aborted = assert.rejects(
      stream(room, endless(), { id: "stopped" }),
      refusedWith("growing-ended"),
    );
    await grows(seen, "a");
    await grows(seen, "stopped");
    const end = await stopStream(seen, "a");
    assert.deepEqual(end, { id: "a", outcome: "stopped", offset: (await stored(seen))[0]?.offset });
    await room.command("growing.abort", { id: "stopped", reason: "the disk stopped" });
    over.resolve();
    assert.deepEqual(await stopped, end, name);
    await aborted;
    const asked = (by: Room, id: string) => by.command("growing.outcome", { id });
    assert.equal((await asked(room, "stopped")).json<{ outcome: string }>()?.outcome, "aborted");
    await assert.rejects(asked(room, "b"), refusedWith("growing-unknown"));
    await assert.rejects(asked(reader.room(room.id), "a"), refusedWith("not-granted"));
    await room.command("growing.start", { id: "b" });
    await assert.rejects(asked(room, "b"), refusedWith("growing-conflict"));
    await room.command("growing.abort", { id: "b" });
  }
}

/** Each step of a message is accepted once and in order, and only from its producer. */
async function kept({ ann, bob }: Users): Promise<void> {
  const room = ann.room("chat-kept");
  const ask = (verb: string, data: Record<string, string | number | boolean>) =>
    room.command(`growing.${verb}`, data).then((answer) => answer.json<Record<string, unknown>>());
  const refused = (verb: string, data: Record<string, string | number | boolean>, why: Reason) =>
    assert.rejects(ask(verb, data), refusedWith(why));
  await ask("start", { id: "a" });
  await ask("append", { id: "a", seq: 1, text: "one" });
  assert.deepEqual(await ask("append", { id: "a", seq: 1, text: "one" }), { id: "a", seq: 1 });
  await refused("append", { id: "a", seq: 1, text: "two" }, "growing-conflict");
  await refused("append", { id: "a", seq: 3, text: "three" }, "growing-conflict");
  await refused("finish", { id: "a", seq: 2 }, "growing-conflict");
  await refused("append", { id: "a", seq: 2, text: "\ud83e" }, "invalid-command");
  await refused("append", { id: "a", seq: 2 }, "invalid-command");
  await refused("grow", { id: "a" }, "invalid-command");
  await refused("start", { id: "a b" }, "invalid-command");
  await refused("start", { id: "b", content_type: "application/json" }, "invalid-command");
  await refused("start", { id: "b", type: "ROOM_UPDATE" }, "reserved-type");
  await refused("append", { id: "b", seq: 1, text: "x" }, "growing-unknown");
  for (
    const [verb, more] of [["append", { seq: 2, text: "x" }], ["finish", {}], [
      "abort",
      {},
    ]] as const
  ) {
    await assert.rejects(
      bob.room("chat-kept").command(`growing.${verb}`, { id: "a", ...more }),
      refusedWith("growing-forbidden"),
    );
  }
  // A start with a lost answer continues at the message's position.
  assert.equal((await ask("start", { id: "a" })).seq, 1);
  const { offset } = await ask("finish", { id: "a", seq: 1 });
  assert.equal((await ask("finish", { id: "a", seq: 1 })).offset, offset);
  await refused("append", { id: "a", seq: 2, text: "x" }, "growing-ended");
  assert.deepEqual((await stored(room)).map((message) => message.text()), ["one"]);
  // The same name again is another message.
  await ask("start", { id: "a" });
  await ask("append", { id: "a", seq: 1, text: "again" });
  await ask("finish", { id: "a" });
  assert.deepEqual((await stored(room)).map((message) => message.text()), ["one", "again"]);
  await ask("start", { id: "c" });
  await ask("append", { id: "c", seq: 1, text: "thrown away" });
  await ask("abort", { id: "c", reason: "wrong", keep: false });
  assert.equal((await stored(room)).length, 2);
}

/** Everything that grows has its limit. */
async function bounded({ ann, bob }: Users, peer: HttpPeer): Promise<void> {
  const room = ann.room("chat-bounds");
  const ask = (verb: string, data: Record<string, string | number>, where = room) =>
    where.command(`growing.${verb}`, data);
  await ask("start", { id: "a" });
  await ask("append", { id: "a", seq: 1, text: "ä".repeat(500) });
  const one_more = (id: string, seq: number) =>
    assert.rejects(ask("append", { id, seq, text: "x" }), refusedWith("message-too-large"));
  await one_more("a", 2);
  await ask("start", { id: "b" });
  for (let seq = 1; seq <= 20; seq++) await ask("append", { id: "b", seq, text: "x" });
  await one_more("b", 21);
  await ask("start", { id: "c" });
  // Over HTTP, since the SDK would wait for a free slot.
  const too_many = async (where: string) => {
    const command = { name: "growing.start", data: { id: "d" } };
    const { status, body } = await peer.call("POST", `rooms/${where}/commands`, command);
    assert.deepEqual([status, body.reason], [429, "growing-limit"]);
  };
  await too_many("chat-bounds");
  await ask("start", { id: "d" }, ann.room("chat-bounds-2"));
  await too_many("chat-bounds-3");
  // Another tenant has its own limit.
  await ask("start", { id: "e" }, bob.room("chat-bounds"));
  for (const id of ["a", "b", "c"]) await ask("abort", { id });
  await ask("abort", { id: "d" }, ann.room("chat-bounds-2"));
  assert.equal((await stored(room)).length, 2);
}

/** Where messages cannot grow, and who may not receive them. */
async function refused({ ann, reader, stranger }: Users): Promise<void> {
  const start = (room: string) => ann.room(room).command("growing.start", { id: "a" });
  await assert.rejects(start("lobby"), refusedWith("not-durable"));
  await assert.rejects(start("chat-filtered"), refusedWith("growing-forbidden"));
  await assert.rejects(start(`chat-${"x".repeat(52)}`), refusedWith("invalid-room"));
  await assert.rejects(ann.room("chat-1~growing").publish("x", "y"), refusedWith("not-granted"));
  await assert.rejects(
    stranger.room("chat-1~growing").subscribe().ready,
    refusedWith("not-granted"),
  );
  await assert.rejects(ann.room("lobby~growing").subscribe().ready, refusedWith("not-durable"));
  await assert.rejects(
    reader.room("chat-1").command("growing.start", { id: "a" }),
    refusedWith("not-granted"),
  );
  // A subscriber of a pattern receives messages, not their pieces.
  using all = ann.room("chat-*").subscribe();
  await all.ready;
  await stream(ann.room("chat-pattern"), ["one ", "message"]);
  assert.equal((await all.next()).value?.text(), "one message");
}

interface Users {
  readonly ann: Connection;
  readonly bob: Connection;
  /** May read. */
  readonly reader: Connection;
  /** May write, but not read. */
  readonly writer: Connection;
  /** May read and send commands. */
  readonly stopper: Connection;
  /** Has no rights in these rooms. */
  readonly stranger: Connection;
}

Deno.test("messages that grow", async (t) => {
  await using bus = await startLocalBus(CONFIG, {
    constants: { growing: { pieces: 20, room_messages: 3, tenant_messages: 4 } },
  });
  const grants = (room: string, ...actions: string[]) => ({ grants: [{ room, actions }] });
  await using ann = await open(bus, "ann");
  await using bob = await open(bus, "bob");
  await using reader = await open(bus, "reader", grants("chat-*", "subscribe"));
  await using writer = await open(bus, "writer", grants("chat-*", "publish"));
  await using stopper = await open(bus, "stopper", grants("chat-*", "subscribe", "command"));
  await using stranger = await open(bus, "stranger", grants("hall", "subscribe"));
  await using other = await open(bus, "other", { tenant_id: "other" });
  const users = { ann, bob, reader, writer, stopper, stranger };
  await t.step("readers receive it growing, the room has one message", () => grows(users));
  await t.step("a reader with the grant stops it", () => stopped(users));
  await t.step("the bus reports how it ended", () => endedByWhom(users));
  await t.step("pieces are stored once and in order", () => kept(users));
  await t.step(
    "each bound",
    () => bounded({ ...users, bob: other }, new HttpPeer(bus.http_url, bus.token)),
  );
  await t.step("where none grow, who may not read", () => refused(users));
});

Deno.test("a reader that was away learns each end of an id, and takes no other message for it", async () => {
  await using bus = await startLocalBus(ROOMS);
  await using proxy = startTcpProxy(Number(new URL(bus.url).port));
  await using ann = await open(bus, "ann");
  await using mallory = await open(bus, "mallory");
  const token = await bus.tokenFor({ user: "bob" });
  const url = `ws://127.0.0.1:${proxy.port}`;
  await using bob = await connect({ url, token, backoff: { base_ms: 1, max_ms: 50 } });
  const room = ann.room("chat-away");
  using received = new Received(bob.room("chat-away"));
  const grow = async (id: string) => {
    const out = await openStream(room, { id });
    await out.write(`${id} of ann`);
    await until("it is received", () => received.of(id)?.text === `${id} of ann`);
    return out;
  };
  const first = await grow("again");
  const other = await grow("other");
  await proxy.cut();
  await first.write(", whole");
  const { offset } = await first.finish();
  const { offset: other_offset } = await other.finish();
  // More than a page behind the ends, what looks like one: only the bus writes `x-arqon-growing`.
  const message_id = `growing:other:${received.of("other")?.started_ms}`;
  await mallory.room("chat-away").publish("", "of mallory", { message_id });
  for (let at = 0; at < 150; at++) await room.publish("note", `${at}`, { ack: at === 149 });
  const second = await openStream(room, { id: "again" });
  await second.write("anew");
  received.all.length = 0;
  proxy.restore();
  await until("the second one is received", () => received.of("again")?.text === "anew");
  const ends = received.all.map(({ id, state, text, offset }) => [id, state, text, offset]);
  assert.deepEqual(ends.slice(0, -1).toSorted(), [
    ["again", "finished", "again of ann, whole", offset],
    ["other", "finished", "other of ann", other_offset],
  ]);
  await second.write(" and more");
  await until("it goes on", () => received.of("again")?.text === "anew and more");
  await second.finish();
});

Deno.test("a chat of the AI SDK whose user is kicked in the middle of an answer ends with an error", async () => {
  await using bus = await startLocalBus(CONFIG);
  await using ann = await open(bus, "ann");
  await using mod = await open(bus, "mod", { role: "service" });
  const transport = chatTransport((id) => ann.room(id));
  const asked = { trigger: "submit-message", messages: [], abortSignal: undefined };
  using questions = mod.room("chat-ai").subscribe();
  await questions.ready;
  const answer = await transport.sendMessages({ chatId: "chat-ai", ...asked });
  const { value } = await questions[Symbol.asyncIterator]().next();
  const out = await openStream(mod.room("chat-ai"), { id: value?.message_id ?? "" });
  await out.write("The first half");
  const types: string[] = [];
  for await (const { type } of answer) {
    types.push(type);
    if (type === "text-delta") await mod.room("chat-ai").kick({ user_id: "ann" });
  }
  assert.deepEqual(types, ["start", "text-start", "text-delta", "text-end", "error"]);
  await out.finish();
});

Deno.test("an idle message is ended in its current state, and one whose producer is connected is not", async () => {
  const journal = '[journal]\njournal = "all"\n';
  await using bus = await startLocalBus(
    `[growing]\n#constant growing.idle_ms = 8_000\n${journal}${ROOMS}`,
  );
  await using ann = await open(bus, "ann");
  const room = ann.room("chat-1");
  await room.command("growing.start", { id: "left" });
  await room.command("growing.append", { id: "left", seq: 1, text: "half an ans" });
  const out = await openStream(room, { id: "slow" });
  await out.write("I think");
  await until("it was abandoned", async () => (await stored(room)).length === 1);
  const [left] = await stored(room);
  assert.equal(left?.text(), "half an ans");
  assert.equal(left?.headers["x-arqon-growing"], "aborted");
  assert.equal(left?.headers["x-arqon-growing-reason"], "abandoned");
  await assert.rejects(
    room.command("growing.append", { id: "left", seq: 2, text: "wer" }),
    refusedWith("growing-ended"),
  );
  await out.write(".");
  await out.finish();
  assert.equal((await stored(room))[1]?.text(), "I think.");
  const admin = new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin" }));
  await until("both are in the journal", async () => {
    const written = (await admin.decisions("default")).filter(({ offset }) => offset !== null);
    return written.map(({ offset, sender }) => `${offset} ${sender?.user}`).join() ===
      "1 ann,2 ann";
  });
});

Deno.test("a class that gets a filter while a message grows shows its readers no further piece", async () => {
  await using bus = await startLocalBus(ROOMS);
  await using ann = await open(bus, "ann");
  const room = ann.room("chat-1");
  await room.command("growing.start", { id: "a" });
  await room.command("growing.append", { id: "a", seq: 1, text: "for all" });
  const admin = new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin" }));
  const filtered = { room: "chat-*", durable: true, filter: "claims.sub == 'ann'" };
  const { status } = await admin.ask("PUT", "/v1/tenants/default/rooms", filtered);
  assert.equal(status, 200);
  const forbidden = refusedWith("growing-forbidden");
  const append = { id: "a", seq: 2, text: ", no longer" };
  await assert.rejects(room.command("growing.append", append), forbidden);
  await assert.rejects(room.command("growing.get", { id: "a" }), forbidden);
  await room.command("growing.finish", { id: "a" });
  assert.deepEqual((await stored(room)).map((message) => message.text()), ["for all"]);
});

Deno.test("a message whose room is no longer durable ends all the same, and its readers learn it", async () => {
  await using bus = await startLocalBus(ROOMS);
  await using ann = await open(bus, "ann");
  const room = ann.room("chat-1");
  using received = await receiving(room);
  await room.command("growing.start", { id: "a" });
  await room.command("growing.append", { id: "a", seq: 1, text: "so far" });
  const admin = new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin" }));
  const { status } = await admin.ask("PUT", "/v1/tenants/default/rooms", { room: "chat-*" });
  assert.equal(status, 200);
  const answer = (await room.command("growing.finish", { id: "a" })).json<{ outcome: string }>();
  assert.equal(answer.outcome, "finished");
  await until("the reader knows", () => received.of("a")?.state === "finished");
  await assert.rejects(room.command("growing.finish", { id: "b" }), refusedWith("not-durable"));
});

Deno.test("readers of a message learn that its room or its user was erased", async () => {
  await using bus = await startLocalBus(ROOMS);
  await using ann = await open(bus, "ann");
  const room = ann.room("chat-1");
  using received = await receiving(room);
  const admin = new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin" }));
  for (const [id, whose] of Object.entries({ a: { room: "chat-1" }, b: { user: "ann" } })) {
    await room.command("growing.start", { id });
    await until("it is received", () => received.of(id) !== undefined);
    await admin.ask("POST", "/v1/data/erase", { tenant: "default", ...whose });
    await until("the reader knows", () => received.of(id)?.reason === "erased");
  }
});

/** A body that the test writes step by step. */
function bodyOf() {
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  const body = new ReadableStream<Uint8Array>({ start: (given) => void (controller = given) });
  const bytes = new TextEncoder();
  return {
    body,
    write: (part: string | Uint8Array) =>
      controller.enqueue(typeof part === "string" ? bytes.encode(part) : part),
    end: () => controller.close(),
    fail: () => controller.error(new Error("gone")),
  };
}

/** Two requests with one id, neither of which has a piece when the other begins: one is refused. */
async function rivals(
  room: Room,
  received: Received,
  post: (query: string, body: ReadableStream<Uint8Array>) => Promise<Response>,
): Promise<void> {
  const four = bodyOf();
  const rival = bodyOf();
  const kept = post("?id=four", four.body);
  const lost = post("?id=four", rival.body);
  const growing = async () =>
    (await room.command("growing.list")).json<{ messages: { id: string }[] }>().messages;
  await until("it grows", async () => (await growing()).some(({ id }) => id === "four"));
  four.write("mine");
  await until("it is received", () => received.of("four")?.text === "mine");
  rival.write("another's");
  assert.equal((await lost).status, 409);
  rival.fail();
  four.write(" alone");
  four.end();
  assert.equal((await kept).status, 200);
}

Deno.test("a body that comes too fast for its user's rate waits, and its message is whole", async () => {
  const rate =
    "[limits]\nuser_messages_per_second = 2 # a start, three pieces and an end are five\n";
  await using bus = await startLocalBus(`${rate}${ROOMS}`);
  const text = Array.from({ length: 8_000 }, (_, n) => String(n % 9_999).padStart(5)).join("");
  const url = `${bus.http_url}/v1/rooms/chat-http/streams`;
  const ann = await bus.tokenFor({ user: "ann" });
  const answer = await send(url, ann, "POST", text, { "content-type": "text/plain" });
  assert.deepEqual([answer.status, (await answer.json()).outcome], [200, "finished"]);
  const token = await bus.tokenFor({ user: "bob" });
  await using bob = await connect({ url: bus.url, token });
  assert.deepEqual((await stored(bob.room("chat-http"))).map((one) => one.text()), [text]);
});

Deno.test("a body of HTTP grows as it arrives", async () => {
  await using bus = await startLocalBus(ROOMS);
  await using bob = await connect({
    url: bus.url,
    token: await bus.tokenFor({ user: "bob" }),
  });
  const room = bob.room("chat-http");
  using received = new Received(room);
  const token = await bus.tokenFor({ user: "ann" });
  const post = (query: string, body: ReadableStream<Uint8Array> | string, type = "text/plain") =>
    fetch(`${bus.http_url}/v1/rooms/chat-http/streams${query}`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": type },
      body,
    });
  const one = bodyOf();
  const answer = post("?id=one&type=answer", one.body);
  one.write("half of a fox: ");
  // Its bytes come in two parts.
  one.write(new Uint8Array([0xf0, 0x9f]));
  await until("it grows", () => received.of("one")?.text === "half of a fox: ");
  one.write(new Uint8Array([0xa6, 0x8a]));
  await until("the fox is whole", () => received.of("one")?.text === "half of a fox: 🦊");
  one.end();
  const response = await answer;
  assert.equal(response.status, 200);
  const { outcome, offset } = await response.json();
  const [message] = await stored(room);
  assert.deepEqual([outcome, offset], ["finished", message?.offset]);
  assert.equal(message?.text(), "half of a fox: 🦊");
  assert.deepEqual([message?.type, message?.sender], ["answer", "ann"]);

  const two = bodyOf();
  const stopped = post("?id=two", two.body);
  two.write("endless");
  await until("it grows", () => received.of("two")?.text === "endless");
  await stopStream(room, "two", "enough");
  const refusal = await stopped;
  assert.equal(refusal.status, 409);
  assert.equal((await refusal.json()).reason, "growing-ended");
  two.fail();

  const three = bodyOf();
  const gone = post("?id=three", three.body).catch(() => {});
  three.write("so far");
  await until("it grows", () => received.of("three")?.text === "so far");
  three.fail();
  await gone;
  await until("it was aborted", () => received.of("three")?.state === "aborted");
  await rivals(room, received, post);
  for (
    const [query, body, type, status] of [
      ["?ids=x", "x", "text/plain", 400],
      ["?id=a%20b", "x", "text/plain", 400],
      ["", "{}", "application/json", 400],
    ] as const
  ) {
    const { status: given } = await post(query, body, type).then(async (one) => {
      await one.body?.cancel();
      return one;
    });
    assert.equal(given, status);
  }
  assert.equal((await post("", "at once")).status, 200);
  const texts = (await stored(room)).map((one) => one.text());
  assert.deepEqual(texts, ["half of a fox: 🦊", "endless", "so far", "mine alone", "at once"]);
});

Deno.test("a body whose token is revoked ends with its next piece", async () => {
  await using bus = await startLocalBus(ROOMS);
  const token = await bus.tokenFor({ user: "ann" });
  const root = await bus.tokenFor({ user: "root", role: "admin" });
  await using bob = await connect({ url: bus.url, token: await bus.tokenFor({ user: "bob" }) });
  using received = new Received(bob.room("chat-http"));
  const one = bodyOf();
  const answer = fetch(`${bus.http_url}/v1/rooms/chat-http/streams?id=one`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "text/plain" },
    body: one.body,
  });
  one.write("before");
  await until("it grows", () => received.of("one")?.text === "before");
  const revoked = { tenant: "default", user: "ann" };
  const response = await send(`${bus.admin_url}/v1/revocations`, root, "POST", revoked);
  assert.equal(response.status, 200, await response.text());
  one.write("after");
  const refusal = await answer;
  assert.deepEqual([refusal.status, (await refusal.json()).reason], [401, "token-revoked"]);
  await until("it was aborted", () => received.of("one")?.state === "aborted");
  assert.equal(received.of("one")?.text, "before");
});
