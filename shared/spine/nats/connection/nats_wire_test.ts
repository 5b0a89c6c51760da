/** The fast path beside nats.js on a real server: order is kept, and nothing is lost or made up. */
import assert from "node:assert/strict";
import { setImmediate } from "node:timers";
import { connect } from "@nats-io/transport-deno";
import { startNats } from "../../../../tests/harness/nats_server.ts";
import {
  bytes,
  collect,
  pattern,
  refusedWith,
  subject,
  text,
  within,
} from "../../testing/conformance.ts";
import { watched } from "../testing/nats_harness.ts";

Deno.test("messages published right after a subscription are delivered to it", async () => {
  await using server = await startNats();
  await using one = await watched(server.port);
  for (let round = 0; round < 20; round++) {
    const seen: string[] = [];
    one.spine.publish(subject("room", `r${round}`), bytes("before"));
    one.spine.subscribe(subject("room", `r${round}`), ({ payload }) => seen.push(text(payload)));
    one.spine.publish(subject("room", `r${round}`), bytes("after"));
    await within(one.spine.flush(), "the flush");
    assert.deepEqual(seen, ["after"]);
  }
});

Deno.test("requests and publishes of one turn arrive in the order of the calls", async () => {
  await using server = await startNats();
  await using one = await watched(server.port);
  await using two = await watched(server.port);
  const received = await collect(two.spine, pattern("room", "*"));
  const requests: Promise<unknown>[] = [];
  for (let n = 0; n < 30; n++) {
    if (n % 3 !== 1) one.spine.publish(subject("room", "a"), bytes(String(n)));
    else {
      const options = { timeout_ms: 60_000 };
      requests.push(one.spine.request(subject("room", "b"), bytes(String(n)), options));
    }
  }
  const messages = await received.count(30);
  assert.deepEqual(messages.map(({ payload }) => Number(text(payload))), [...Array(30).keys()]);
  for (const message of messages) message.respond(bytes(""));
  await within(Promise.all(requests), "the answers");
});

Deno.test("a subject that is not the pattern is read from the wire", async () => {
  await using server = await startNats();
  await using one = await watched(server.port);
  const received = await collect(one.spine, pattern("room", ">"));
  const exact = await collect(one.spine, subject("room", "one", "two"));
  one.spine.publish(subject("room", "one", "two"), bytes("x"));
  assert.deepEqual((await received.count(1)).map((message) => message.subject), ["room.one.two"]);
  assert.deepEqual((await exact.count(1)).map((message) => message.subject), ["room.one.two"]);
});

Deno.test("messages of any size arrive complete, also in pieces of the socket's reads", async () => {
  await using server = await startNats();
  await using one = await watched(server.port);
  const received = await collect(one.spine, subject("room"));
  const sizes = [0, 1, 65_535, 65_536, 300_000, 1_000_000, 2, 700_000, 3];
  const sent = sizes.map((size) => new Uint8Array(size).map((_, index) => index * size));
  for (const payload of sent) one.spine.publish(subject("room"), payload, { size: "any" });
  const messages = await received.count(sizes.length);
  assert.deepEqual(messages.map(({ payload }) => payload), sent);
});

Deno.test("through restarts every flush ends, and the wire is that of the new connection", async () => {
  await using server = await startNats();
  await using one = await watched(server.port);
  const refused = refusedWith("spine-unavailable");
  for (let round = 1; round <= 5; round++) {
    const outcomes: Promise<boolean>[] = [];
    const isBack = () => one.events.items.filter(({ type }) => type === "gap").length >= round;
    const publishing = (async () => {
      while (!isBack()) {
        try {
          one.spine.publish(subject("room"), bytes("x"));
          outcomes.push(
            one.spine.flush().then(() => true, (error) => {
              assert.ok(refused(error));
              return false;
            }),
          );
        } catch (error) {
          assert.ok(refused(error));
          outcomes.push(Promise.resolve(false));
        }
        await new Promise<void>((resolve) => setImmediate(() => resolve()));
      }
    })();
    await within(one.spine.flush(), "the flush before");
    await server.restart();
    await within(publishing, "the publisher");
    const confirmed = await within(Promise.all(outcomes), "every flush");
    assert.ok(confirmed.includes(true) && confirmed.includes(false));
    const received = await collect(one.spine, subject("room", "new"));
    one.spine.publish(subject("room", "new"), bytes("here"));
    await received.count(1);
  }
});

Deno.test("another user of nats.js in the process takes nothing away, also not from reconnects", async () => {
  await using server = await startNats();
  await using one = await watched(server.port);
  const plain = await connect({ servers: [`127.0.0.1:${server.port}`], reconnect: false });
  await server.restart();
  await one.gaps(1);
  await plain.closed();
  const [two, other] = await Promise.all([
    watched(server.port),
    connect({ servers: [`127.0.0.1:${server.port}`] }),
  ]);
  for (const { spine } of [one, two]) {
    const received = await collect(spine, subject("room"));
    spine.publish(subject("room"), bytes("x"));
    await received.count(1);
  }
  await Promise.all([two.spine.drain(), other.close()]);
});
