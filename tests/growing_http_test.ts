/** Growing messages from the body of one request, on a real bus: `POST …/streams`. */
import assert from "node:assert/strict";
import { connect, type Room } from "@arqon/sdk";
import { stopStream } from "@arqon/sdk/streams";
import { until } from "../shared/testing/until.ts";
import { Received, stored } from "./growing/received.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import { send } from "./peers/own_connections.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const ROOMS = durableRooms("chat-*");

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
  const [four, rival] = [bodyOf(), bodyOf()];
  const [kept, lost] = [post("?id=four", four.body), post("?id=four", rival.body)];
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
  const [token, root] = [
    await bus.tokenFor({ user: "ann" }),
    await bus.tokenFor({ user: "root", role: "admin" }),
  ];
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
