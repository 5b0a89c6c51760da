// Signing, typed messages, locks, listeners and several loops of a room on a real bus: one bus for all steps.
import assert from "node:assert/strict";
import { create } from "@bufbuild/protobuf";
import { DurationSchema } from "@bufbuild/protobuf/wkt";
import { exportJWK, generateKeyPair } from "@panva/jose";
import { z } from "zod";
import { startBusWith, type TestBus } from "../../tests/harness/bus.ts";
import { connect, ed25519Signer, holdLock, standardCodec, typedRoom, withLock } from "./mod.ts";
import type { ArqonError, Connection, ConnectOptions, HeldLock, Message } from "./mod.ts";
import { roomState } from "./state.ts";
import { protobufCodec } from "./protobuf.ts";
import { refusedWith } from "./testing/scripted_peer.ts";
import { CLEAN } from "./testing/counted.ts";

const CONFIG = `
[auth]
require_signature = [{ role = "user", room = "pay-*" }]
`;

async function open(
  bus: TestBus,
  user: string,
  options: Partial<ConnectOptions> = {},
  claims: Record<string, unknown> = {},
): Promise<Connection> {
  const token = await bus.tokenFor({ user, claims });
  return await connect({ url: bus.url, token, ...options });
}

async function signing(bus: TestBus): Promise<void> {
  const { publicKey, privateKey } = await generateKeyPair("EdDSA", { extractable: true });
  const cnf = { jwk: await exportJWK(publicKey) };
  const signer = await ed25519Signer(await exportJWK(privateKey) as JsonWebKey);
  await using ann = await open(bus, "ann", { signer }, { cnf });
  await using plain = await open(bus, "bob", {}, { cnf });
  const room = ann.room("pay-1");
  using messages = plain.room("pay-1").subscribe();
  await messages.ready;
  await assert.rejects(plain.room("pay-1").publish("pay", 1), refusedWith("signature-required"));
  const count = 100;
  // Every second one has its own key, which is signed, too; all stay in order.
  await Promise.all(
    Array.from(
      { length: count },
      (_, n) => room.publish("pay", { n }, n % 2 === 0 ? { message_id: `m${n}` } : {}),
    ),
  );
  for (let n = 0; n < count; n += 1) {
    assert.deepEqual((await messages.next()).value?.json(), { n });
  }
  await roomState(room).set("paid", 7);
  assert.equal((await roomState(room).get("paid")).value, 7);
  const other = await ed25519Signer((await generateKeyPair("EdDSA")).privateKey);
  await using wrong = await open(bus, "ann", { signer: other }, { cnf });
  await assert.rejects(wrong.room("pay-1").publish("x", 1), refusedWith("signature-invalid"));
  await assert.rejects(
    roomState(wrong.room("pay-1")).get("paid"),
    refusedWith("signature-invalid"),
  );
}

async function failingSigners(bus: TestBus): Promise<void> {
  const errors: ArqonError[] = [];
  const signer = {
    sign: (data: Uint8Array) => {
      const text = new TextDecoder().decode(data);
      if (text.includes("hang")) return new Promise<Uint8Array>(() => {});
      if (text.includes("short")) return Promise.resolve(new Uint8Array(63));
      if (text.includes("throw")) throw new Error("the device is locked");
      return Promise.resolve(new Uint8Array(64));
    },
  };
  await using bob = await open(bus, "bob", { signer, onError: (error) => errors.push(error) });
  const room = bob.room("free");
  const hanging = room.publish("hang", 1, { timeout_ms: 40 });
  const behind = room.publish("behind", 1);
  await assert.rejects(
    room.publish("throw", 1),
    (error) => refusedWith("signing-failed")(error) && /the device is locked/.test(String(error)),
  );
  await assert.rejects(room.publish("short", 1), refusedWith("signing-failed"));
  await assert.rejects(hanging, refusedWith("answer-timeout"));
  // It was delivered, with a signature that cannot be verified.
  await assert.rejects(behind, refusedWith("signature-no-key"));
  assert.deepEqual([errors, bob.status.state], [[], "open"]);
}

async function typed(bus: TestBus): Promise<void> {
  const errors: ArqonError[] = [];
  await using ann = await open(bus, "ann", { onError: (error) => errors.push(error) });
  const chat = standardCodec(z.object({ text: z.string() }), { schema_id: "chat.v1" });
  const room = typedRoom(ann.room("typed"), "chat", chat);
  using values = room.subscribe();
  using strict = room.subscribe({ on_invalid: "throw" });
  await values.ready;
  const raw = ann.room("typed");
  await raw.publish("other", { text: "another type" });
  await raw.publish("chat", { text: 1 });
  await raw.publish("chat", "text/plain is no JSON");
  await raw.publish("chat", { text: "of another schema" }, { schema_id: "chat.v2" });
  await room.publish({ text: "hello" }, { message_id: "m1" });
  const { value: item } = await values.next();
  assert.deepEqual([item?.value, item?.message.message_id], [{ text: "hello" }, "m1"]);
  assert.deepEqual([item?.message.schema_id, errors.length], ["chat.v1", 3]);
  assert.ok(errors.every(({ reason }) => reason === "schema-violation"));
  assert.match(errors[0]?.message ?? "", /chat in room typed: .*text: .*string/);
  await assert.rejects(strict.next(), refusedWith("schema-violation"));
  assert.equal((await strict.next()).done, true);
  const bad = { text: 2 } as unknown as { text: string };
  await assert.rejects(room.publish(bad), refusedWith("schema-violation"));
  const ticks = typedRoom(raw, "tick", protobufCodec(DurationSchema));
  using times = ticks.subscribe();
  await ticks.publish(create(DurationSchema, { seconds: 42n }));
  assert.equal((await times.next()).value?.value?.seconds, 42n);
}

async function locks(bus: TestBus): Promise<void> {
  await using ann = await open(bus, "ann");
  await using bob = await open(bus, "bob");
  const room = ann.room("jobs");
  const his = bob.room("jobs");
  const result = await withLock(room, { ttl_ms: 60_000 }, async ({ fence }) => {
    await assert.rejects(holdLock(his), refusedWith("locked"));
    await assert.rejects(roomState(his).set("n", 2), refusedWith("locked"));
    return await roomState(room).set("n", 1, { fence });
  });
  assert.equal(typeof result.version, "number");
  // A waiting client gets it as soon as it is released, or the error names its holder.
  const held = await holdLock(room, { ttl_ms: 60_000 });
  await assert.rejects(
    withLock(his, { wait_ms: 120 }, () => assert.fail("two hold it")),
    (error) => refusedWith("locked")(error) && /ann/.test(String(error)),
  );
  const waiting = withLock(his, { wait_ms: 60_000 }, ({ fence }) => fence);
  await held.release();
  assert.ok(await waiting > held.fence);
  // Released: another client may get it, also after `work` has thrown.
  await assert.rejects(withLock(his, {}, () => Promise.reject(new Error("mine"))), /mine/);
  // The shortest renewals: the lock outlives its lease.
  const ttl_ms = 2_400;
  const lock: HeldLock = await holdLock(room, { ttl_ms });
  const first_ms = lock.until_ms;
  const renewed = Promise.withResolvers<void>();
  const timer = setInterval(() => lock.until_ms > first_ms && renewed.resolve(), 10);
  await renewed.promise;
  clearInterval(timer);
  assert.equal(lock.signal.aborted, false);
  // Released by the fence.
  const lost = Promise.withResolvers<ArqonError>();
  lock.signal.addEventListener("abort", () => lost.resolve(lock.signal.reason), { once: true });
  await room.unlock(lock.fence);
  await using taken = await holdLock(his, { ttl_ms: 60_000 });
  assert.ok(taken.fence > lock.fence);
  assert.ok(["locked", "fence-mismatch"].includes((await lost.promise).reason));
  await lock.release();
}

async function listening(bus: TestBus): Promise<void> {
  const errors: ArqonError[] = [];
  await using ann = await open(bus, "ann", { onError: (error) => errors.push(error) });
  const room = ann.room("heard");
  const received: unknown[] = [];
  const done = Promise.withResolvers<void>();
  const listener = room.listen(async (message: Message) => {
    const at = received.push(message.json());
    // Others arrive meanwhile; they wait.
    await room.count();
    if (at === 2) throw new Error("the handler's own");
    assert.equal(received.length, at);
    if (at === 4) done.resolve();
  }, { presence: true, member_meta: { role: "ear" } });
  await listener.ready;
  assert.deepEqual([listener.room, listener.presence?.count], ["heard", 1]);
  for (const n of [1, 2, 3, 4]) await room.publish("n", n);
  await done.promise;
  assert.deepEqual(received, [1, 2, 3, 4]);
  assert.equal(errors.length, 1);
  assert.equal(errors[0]?.reason, "handler-failed");
  assert.match(String(errors[0]?.cause), /the handler's own/);
  listener.close();
  await listener.ended;
  await room.publish("n", 5);
  assert.equal(received.length, 4);
  const denied = { grants: [{ room: "other", actions: ["subscribe"] }] };
  await using eve = await open(bus, "eve", {}, denied);
  await assert.rejects(eve.room("heard").listen(() => {}).ended, refusedWith("not-granted"));
}

async function twoLoops(bus: TestBus): Promise<void> {
  const { url, token } = bus;
  await using connection = await connect({ url, token });
  const room = connection.room("sdk-2");
  const one = room.subscribe();
  const other = room.subscribe();
  await Promise.all([one.ready, other.ready]);
  assert.throws(() => room.subscribe({ no_echo: true }), /no_echo = false/);
  await room.publish("x", 1);
  const next = async (loop: typeof one) => (await loop.next()).value?.json();
  assert.deepEqual([await next(one), await next(other)], [1, 1]);
  one.close();
  await room.publish("x", 2);
  assert.equal(await next(other), 2);
  assert.equal((await one.next()).done, true);
  other.close();
  // The room may have other options now, and the new loop receives only new messages.
  using again = room.subscribe({ no_echo: true });
  await again.ready;
  await room.publish("x", 3);
  await using friend = await connect({ url, token });
  await friend.room("sdk-2").publish("x", 4);
  assert.equal(await next(again), 4);
  assert.throws(() => connection.room("a.b"), refusedWith("invalid-room"));
}

Deno.test("features of the SDK on a real bus", CLEAN, async (t) => {
  await using bus = await startBusWith(CONFIG);
  await t.step(
    "signed publishes and commands pass, in order; a bad key is refused",
    () => signing(bus),
  );
  await t.step(
    "a signer that fails or hangs costs its own publish only",
    () => failingSigners(bus),
  );
  await t.step("typed messages, with bad data of others left out or thrown", () => typed(bus));
  await t.step("a lock is held, renewed, released, taken over, and lost", () => locks(bus));
  await t.step("a handler receives messages one after another", () => listening(bus));
  await t.step(
    "two loops on one room both receive its messages, and leaving both ends the subscription",
    () => twoLoops(bus),
  );
});
