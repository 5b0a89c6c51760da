/**
 * Hooks with `before`, on a real bus: what they deny does not happen, the configuration decides when there is no
 * verdict, and nobody else waits for them.
 */
import assert from "node:assert/strict";
import { Opcode, writeEnvelope } from "@arqon/proto";
import { until } from "../shared/testing/until.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { hookTable, Receiver } from "./hooks/receiver.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { send } from "./peers/own_connections.ts";
import { openBinary, openText } from "./peers/raw_client.ts";

const hook = (id: string, url: string, room: string, lines: string) =>
  hookTable(id, url, `room = "${room}"\nevents = []\n${lines}`);

const startBus = (url: string, in_flight = 64): Promise<TestBus> =>
  startLocalBus(`[server]
drain_ms = 0
[webhooks]
private_hosts = ["127.0.0.1"]
#constant webhooks.before_in_flight = ${in_flight}
${hook("strict", url, "asked-*", 'before = ["publish", "subscribe"]\ntimeout_ms = 60_000')}
${hook("brief", url, "brief-*", 'before = ["publish"]\ntimeout_ms = 500')}
${hook("open", url, "open-*", 'before = ["publish"]\ntimeout_ms = 500\non_failure = "allow"')}
${hook("narrow", url, "narrow-*", 'before = ["publish"]\ntimeout_ms = 60_000')}
${hook("door", url, "*", 'before = ["connect"]\ntimeout_ms = 60_000')}
`);

const says = (answer: object, status = 200) => Response.json(answer, { status });

Deno.test("a denied user gets the reason, an allowed one continues, and no other room is checked", async () => {
  await using receiver = new Receiver();
  receiver.answer = ({ body: { type, data } }) => {
    if (type === "before.connect") return says({ allow: data.caller.user_id !== "mallory" });
    if (type === "before.subscribe") return says({ allow: data.room !== "asked-secret" });
    return says({ allow: data.message.data.n % 2 === 0, reason: "odd" });
  };
  await using bus = await startBus(receiver.url);
  using client = await openText(bus.url, await bus.tokenFor({ user: "ann" }));
  await assert.rejects(openText(bus.url, await bus.tokenFor({ user: "mallory" })));
  const answer = async (frame: object) => {
    client.send(frame);
    for (;;) {
      const one = await client.json();
      if (one.op === "ack" || one.op === "err") return one;
    }
  };
  assert.equal(
    (await answer({ op: "sub", room: "asked-secret", id: 1 })).reason,
    "policy-rejected",
  );
  assert.equal((await answer({ op: "sub", room: "asked-1", id: 2 })).code, 0);
  assert.equal((await answer({ op: "sub", room: "free", id: 3 })).code, 0);
  const peer = new HttpPeer(bus.http_url, await bus.tokenFor({ user: "bob" }));
  const publish = (room: string, n: number) =>
    peer.call("POST", `rooms/${room}/messages`, { type: "t", data: { n } });
  const odd = await publish("asked-1", 1);
  assert.deepEqual([odd.status, odd.body.reason], [403, "policy-rejected"]);
  assert.match(odd.body.detail, /odd/);
  assert.equal((await publish("asked-1", 2)).status, 200);
  const asked = receiver.calls.length;
  assert.equal((await publish("free", 1)).status, 200);
  const types = receiver.calls.slice(asked).map(({ body }) => body.type);
  assert.ok(!types.includes("before.publish"), "the room has no hook");
  const received = [await client.json(), await client.json()];
  assert.deepEqual(received.map(({ room, data }) => [room, data.n]), [["asked-1", 2], ["free", 1]]);
  const about = receiver.calls.find(({ body }) => body.type === "before.publish")?.body.data;
  assert.equal(about.caller.user_id, "bob");
  assert.equal(about.message.type, "t");
  assert.deepEqual(receiver.problems, []);
});

Deno.test("a binary publish is checked as a text one is, with the room and the trace of an HTTP request", async () => {
  await using receiver = new Receiver();
  receiver.answer = ({ body: { type, data } }) =>
    says({ allow: type !== "before.publish" || data.message.data.n % 2 === 0, reason: "odd" });
  await using bus = await startBus(receiver.url);
  const token = await bus.tokenFor({ user: "ann" });
  using client = await openBinary(bus.url, token);
  const event = (n: number) => ({
    type: "t",
    content_type: "application/json",
    data: new TextEncoder().encode(`{"n":${n}}`),
  });
  const codes: number[] = [];
  for (const n of [1, 2]) {
    const envelope = { room_id: "asked-1", request_id: n, ack_requested: true, event: event(n) };
    client.send(Uint8Array.of(Opcode.PUB, ...writeEnvelope(envelope)));
    const answer = await client.frame();
    codes.push(answer.kind === "ack" ? answer.ack.code : 0);
  }
  assert.deepEqual(codes, [403, 0], "denied by its data, and allowed");
  const trace = "0af7651916cd43dd8448eb211c80319c";
  const traceparent = `00-${trace}-b7ad6b7169203331-01`;
  const headers = { "content-type": "application/protobuf", traceparent };
  const [url, body] = [`${bus.http_url}/v1/rooms/asked-2/messages`, { event: event(4) }];
  const posted = await send(url, token, "POST", writeEnvelope(body), headers);
  await posted.body?.cancel();
  assert.equal(posted.status, 200);
  const asked = receiver.calls.filter(({ body }) => body.type === "before.publish")
    .map(({ body: { data: { room, message } } }) => [room, message.room, message.data]);
  assert.deepEqual(asked, [
    ["asked-1", "asked-1", { n: 1 }],
    ["asked-1", "asked-1", { n: 2 }],
    ["asked-2", "asked-2", { n: 4 }],
  ]);
  assert.equal(receiver.calls.at(-1)?.body.data.message.trace_id, trace);
});

Deno.test("without a yes or no, the configured default applies", async () => {
  await using receiver = new Receiver();
  let answering: () => Response | Promise<Response> = () => says({ allow: true });
  const { promise: never, resolve: end } = Promise.withResolvers<Response>();
  receiver.answer = ({ body }) =>
    body.type === "before.connect" ? says({ allow: true }) : Promise.resolve(answering());
  await using bus = await startBus(receiver.url);
  const peer = new HttpPeer(bus.http_url, await bus.tokenFor());
  const publish = async (room: string) => {
    const { status, body } = await peer.call("POST", `rooms/${room}/messages`, { type: "t" });
    return status === 200 ? "200" : `${status} ${body.reason}`;
  };
  const ways: readonly (readonly [string, () => Response | Promise<Response>])[] = [
    ["500", () => says({ allow: true }, 500)],
    ["204", () => new Response(null, { status: 204 })],
    ["a redirect", () => Response.redirect(receiver.url, 307)],
    ["2 MB", () => new Response(`{"allow":true,"x":"${"x".repeat(2_000_000)}"}`)],
    ["no JSON", () => new Response("yes")],
    ["no answer to the question", () => says({ allow: "true" })],
    ["nothing at all", () => never],
  ];
  for (const [what, way] of ways) {
    answering = way;
    assert.equal(await publish("brief-1"), "503 policy-fault", what);
    assert.equal(await publish("open-1"), "200", what);
  }
  end(new Response());
  await receiver.stop();
  // New connections are denied, too; earlier requests continue.
  answering = () => says({ allow: true });
  receiver.start();
  await until("it is asked again", async () => await publish("asked-1") === "200");
});

Deno.test("one user's waiting calls do not delay another user's", async () => {
  await using receiver = new Receiver();
  const { promise: held, resolve: release } = Promise.withResolvers<void>();
  receiver.answer = async () => {
    await held;
    return says({ allow: true });
  };
  await using bus = await startBus(receiver.url, 1);
  const publisher = async (user: string) => {
    const peer = new HttpPeer(bus.http_url, await bus.tokenFor({ user }));
    return async () => (await peer.call("POST", "rooms/narrow-1/messages", { type: "t" })).status;
  };
  const [ann, bob] = [await publisher("ann"), await publisher("bob")];
  const first = ann();
  await until("it is asked", () => receiver.calls.length === 1);
  const others = [ann(), ann(), ann()];
  assert.equal(await Promise.race(others), 503);
  const bobs = bob();
  assert.deepEqual(await Promise.all(others), [503, 503, 503]);
  release();
  assert.deepEqual(await Promise.all([first, bobs]), [200, 200]);
});
