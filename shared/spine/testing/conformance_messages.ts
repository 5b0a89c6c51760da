/** Conformance cases of publish, subscribe and request; see `conformance.ts`. */
import assert from "node:assert/strict";
import type { ArqonError } from "@arqon/proto";
import { bytes, collect, pattern, refusedWith, subject, text, within } from "./conformance.ts";
import type { Bus, Case } from "./conformance.ts";
import type { Subject, SubjectPattern } from "../../subjects/subject.ts";
import type { SpineMessage } from "../contract/spine_message.ts";

/** Pattern, subject, whether it matches: NATS' rules. */
const MATCHES: readonly (readonly [string, string, boolean])[] = [
  ["a.b", "a.b", true],
  ["a.b", "a.b.c", false],
  ["a.b", "a", false],
  ["a.*", "a.b", true],
  ["a.*", "a", false],
  ["a.*", "a.b.c", false],
  ["*.b", "a.b", true],
  ["*.*", "a.b", true],
  ["a.*.c", "a.b.c", true],
  ["a.*.c", "a.b.d", false],
  ["a.>", "a.b", true],
  ["a.>", "a.b.c.d", true],
  ["a.>", "a", false],
  ["a.>", "ab.c", false],
  ["*.>", "a.b.c", true],
  ["*.b.>", "a.b", false],
];

async function publishes({ spine, other, name }: Bus): Promise<void> {
  const received = await collect(other, subject(name));
  const payload = new Uint8Array([0, 255, 13, 10, 128]);
  spine.publish(subject(name), payload, { traceparent: "00-ab-cd-01", "X-Case": "é: kept" });
  assert.equal(received.items.length, 0, "delivery is asynchronous");
  payload.fill(7);
  spine.publish(subject(name), new Uint8Array(0));
  const [first, second] = await received.count(2);
  assert.deepEqual(first?.payload, new Uint8Array([0, 255, 13, 10, 128]));
  assert.deepEqual({ ...first?.headers }, { traceparent: "00-ab-cd-01", "X-Case": "é: kept" });
  assert.equal(first?.subject, name);
  assert.equal(first?.reply, undefined);
  first?.respond(bytes("nobody waits: nothing happens"));
  assert.deepEqual(second?.payload, new Uint8Array(0));
  assert.deepEqual({ ...second?.headers }, {});
}

async function keepsOrder({ spine, other, name }: Bus): Promise<void> {
  const apart: string[] = [];
  for (const n of [2, 0, 1]) {
    other.subscribe(subject(name, `s${n}`), ({ payload }) => apart.push(text(payload)));
  }
  const received = await collect(other, pattern(name, ">"));
  for (let n = 0; n < 5_000; n++) spine.publish(subject(name, `s${n % 3}`), bytes(String(n)));
  await within(spine.flush(), "the flush");
  const messages = await received.count(5_000);
  const sent = Array.from({ length: 5_000 }, (_, n) => String(n));
  assert.deepEqual(messages.map((message) => text(message.payload)), sent);
  assert.deepEqual(apart, sent, "over subscriptions of one connection, too");
}

async function matches({ spine, other, name }: Bus): Promise<void> {
  const received = new Map<string, string[]>();
  for (const [row] of MATCHES) {
    if (received.has(row)) continue;
    const seen: string[] = [];
    received.set(row, seen);
    other.subscribe(pattern(name, row), (message) => seen.push(message.subject));
  }
  const end = await collect(other, subject(`${name}-end`));
  const subjects = new Set(MATCHES.map((row) => row[1]));
  for (const one of subjects) spine.publish(subject(name, one), bytes(one));
  spine.publish(subject(`${name}-end`), bytes(""));
  await end.count(1);
  for (const [row, one, expected] of MATCHES) {
    const got = received.get(row)?.filter((seen) => seen === `${name}.${one}`).length;
    assert.equal(got, expected ? 1 : 0, `${row} and ${one}`);
  }
}

async function copies({ spine, other, name }: Bus): Promise<void> {
  other.subscribe(subject(name), (message) => message.payload.fill(0));
  const second = await collect(other, subject(name));
  other.subscribe(pattern(`${name}`), (message) => message.payload.fill(1));
  spine.publish(subject(name), bytes("mine"));
  const [message] = await second.count(1);
  assert.equal(text(message?.payload ?? bytes("")), "mine");
}

async function gives({ spine, other, name }: Bus): Promise<void> {
  const reads: string[] = [];
  const read = (message: SpineMessage) => void reads.push(text(message.payload));
  // Before, between and after subscribers that change the payload that they get.
  other.subscribe(pattern(name, "*"), read, { reads_only: true, queue: "readers" });
  other.subscribe(subject(name, "a"), (message) => message.payload.fill(0));
  other.subscribe(subject(name, "a"), read, { reads_only: true });
  const owned = await collect(other, subject(name, "a"));
  other.subscribe(pattern(name, ">"), read, { reads_only: true });
  await other.flush();
  const buffer = bytes("<given>");
  spine.give(subject(name, "a"), buffer.subarray(1, 6), { k: "v" });
  spine.publish(subject(name, "a"), bytes("later"));
  const messages = await owned.count(2);
  assert.deepEqual(messages.map(({ payload }) => text(payload)), ["given", "later"]);
  assert.equal(messages[0]?.headers["k"], "v");
  await other.flush();
  assert.deepEqual(reads.sort(), ["given", "given", "given", "later", "later", "later"]);
  assert.throws(() => spine.give("a b" as Subject, buffer), TypeError);
  const tooLarge = new Uint8Array(spine.payload_bytes_max + 1);
  assert.throws(() => spine.give(subject(name), tooLarge), refusedWith("message-too-large"));
}

async function sharesInQueues({ spine, other, name }: Bus): Promise<void> {
  const one = await collect(spine, subject(name, "a"), { queue: "workers" });
  // Same group under another pattern: still one group.
  const two = await collect(other, pattern(name, "*"), { queue: "workers" });
  const second = await collect(other, subject(name, "a"), { queue: "others" });
  const all = await collect(other, pattern(name, ">"));
  for (let n = 0; n < 500; n++) spine.publish(subject(name, "a"), bytes(String(n)));
  await all.count(500);
  await second.count(500);
  await one.until(() => one.items.length + two.items.length >= 500, "all in the group");
  const numbers = [...one.items, ...two.items].map((message) => Number(text(message.payload)));
  assert.deepEqual(numbers.sort((a, b) => a - b), Array.from({ length: 500 }, (_, n) => n));
  assert.ok(one.items.length > 0 && two.items.length > 0, "both members work");
}

async function unsubscribes({ spine, name }: Bus): Promise<void> {
  const seen: string[] = [];
  const subscription = spine.subscribe(pattern(name, "*"), (message) => {
    seen.push(text(message.payload));
    subscription.unsubscribe();
  });
  assert.equal(subscription.pattern, `${name}.*`);
  const all = await collect(spine, subject(name, "a"));
  spine.publish(subject(name, "a"), bytes("1"));
  spine.publish(subject(name, "a"), bytes("2"));
  await all.count(2);
  subscription.unsubscribe();
  assert.deepEqual(seen, ["1"]);
}

async function drainsOne({ spine, other, name }: Bus): Promise<void> {
  const seen: string[] = [];
  const subscription = other.subscribe(subject(name), ({ payload }) => seen.push(text(payload)));
  await other.flush();
  const all = await collect(spine, subject(name));
  const sent = Array.from({ length: 200 }, (_, n) => String(n));
  for (const word of sent) spine.publish(subject(name), bytes(word));
  await spine.flush();
  // The server has routed them all; none may be lost because their receiver stops.
  await Promise.all([subscription.drain(), subscription.drain()]);
  assert.deepEqual(seen, sent);
  spine.publish(subject(name), bytes("late"));
  await all.count(201);
  await other.flush();
  assert.equal(seen.length, 200);
  await subscription.drain();
}

async function survivesThrowingHandlers({ spine, other, name }: Bus): Promise<void> {
  other.subscribe(subject(name), () => {
    throw new Error("thrown by the test's handler");
  });
  const received = await collect(other, subject(name));
  for (const word of ["a", "b", "c"]) spine.publish(subject(name), bytes(word));
  await received.count(3);
}

async function requests({ spine, other, name }: Bus): Promise<void> {
  other.subscribe(subject(name), (message) => {
    assert.ok(message.reply !== undefined);
    message.respond(bytes(`re: ${text(message.payload)}`), {
      answer: message.headers["ask"] ?? "",
    });
    message.respond(bytes("a second answer is nobody's"));
  });
  await other.flush();
  const ask = (n: number) =>
    spine.request(subject(name), bytes(String(n)), {
      timeout_ms: 10_000,
      headers: { ask: `h${n}` },
    });
  const answers = await Promise.all(Array.from({ length: 100 }, (_, n) => ask(n)));
  answers.forEach((answer, n) => {
    assert.equal(text(answer.payload), `re: ${n}`);
    assert.equal(answer.headers["answer"], `h${n}`);
  });
}

async function refusesWithoutResponder({ spine, other, name }: Bus): Promise<void> {
  const ask = () => spine.request(subject(name), bytes("?"), { timeout_ms: 10_000 });
  await assert.rejects(ask(), ({ reason, retry_after_ms }: ArqonError) => {
    assert.equal(reason, "brain-unavailable");
    assert.ok(retry_after_ms > 0, "who asks is told when to come again");
    return true;
  });
  const subscription = other.subscribe(subject(name), (message) => message.respond(bytes("!")));
  await other.flush();
  assert.equal(text((await ask()).payload), "!");
  subscription.unsubscribe();
  await other.flush();
  await assert.rejects(ask(), refusedWith("brain-unavailable"));
}

async function timesOut({ spine, other, name }: Bus): Promise<void> {
  const received: SpineMessage[] = [];
  other.subscribe(subject(name), (message) => void received.push(message));
  await other.flush();
  await assert.rejects(
    spine.request(subject(name), bytes("?"), { timeout_ms: 20 }),
    refusedWith("command-timeout"),
  );
  received[0]?.respond(bytes("too late: dropped"));
  await within(other.flush(), "the flush");
}

async function limitsSize({ spine, other, name }: Bus): Promise<void> {
  const received = await collect(other, subject(name));
  const max = spine.payload_bytes_max;
  const largest = new Uint8Array(max).fill(1);
  spine.publish(subject(name), largest);
  const tooLarge = new Uint8Array(max + 1);
  assert.throws(() => spine.publish(subject(name), tooLarge), refusedWith("message-too-large"));
  // Headers count: the server would cut the connection.
  assert.throws(
    () => spine.publish(subject(name), largest, { a: "b" }),
    refusedWith("message-too-large"),
  );
  await assert.rejects(
    spine.request(subject(name), tooLarge, { timeout_ms: 1_000 }),
    refusedWith("message-too-large"),
  );
  spine.publish(subject(name), bytes("end"));
  const messages = await received.count(2);
  assert.equal(messages[0]?.payload.length, max);
  assert.equal(text(messages[1]?.payload ?? bytes("")), "end");
}

async function checksAgain({ spine, name }: Bus): Promise<void> {
  const empty = new Uint8Array(0);
  const bad = ["", ".", "a..b", "a.", ".a", "a b", "a\r\nPUB x 0", "a.\u0000", "é", "a/b", "a,b"];
  for (const one of [...bad, "a.*", "a.>", ">", "a".repeat(2_000), "a.".repeat(40) + "a"]) {
    assert.throws(() => spine.publish(one as Subject, empty), TypeError, JSON.stringify(one));
    await assert.rejects(
      spine.request(one as Subject, empty, { timeout_ms: 100 }),
      TypeError,
      JSON.stringify(one),
    );
  }
  for (const one of [...bad, "a.>.b", ">.a", "a*", "a.b>", "**"]) {
    assert.throws(
      () => spine.subscribe(one as SubjectPattern, () => {}),
      TypeError,
      JSON.stringify(one),
    );
  }
  for (const queue of ["", "a b", "a\r\n", "*"]) {
    assert.throws(() => spine.subscribe(subject(name), () => {}, { queue }), TypeError);
  }
  const headers = [{ "": "a" }, { "a:b": "c" }, { a: "b\r\nc: d" }, { "a\r": "b" }, { a: " b" }];
  for (const one of [...headers, { a: "\ud800" }, { a: "\u0000" }]) {
    assert.throws(() => spine.publish(subject(name), empty, { ...one }), TypeError);
  }
}

async function flushesForAll({ spine, other, name }: Bus): Promise<void> {
  const received = await collect(other, subject(name));
  const flushes = Array.from({ length: 50 }, (_, n) => {
    spine.publish(subject(name), bytes(String(n)));
    return spine.flush();
  });
  await within(Promise.all(flushes), "all flushes");
  await received.count(50);
  await within(spine.flush(), "a flush of nothing");
  assert.equal(spine.status.pending_bytes, 0);
}

async function drains({ spine, name }: Bus): Promise<void> {
  const states: string[] = [];
  spine.onEvent((event) => void (event.type === "state" && states.push(event.status.state)));
  const deaf = spine.onEvent(() => assert.fail("was removed"));
  deaf();
  const received = await collect(spine, subject(name));
  spine.subscribe(subject(name, "silent"), () => {});
  const pending = assert.rejects(
    spine.request(subject(name, "silent"), bytes("?"), { timeout_ms: 60_000 }),
    refusedWith("spine-unavailable"),
  );
  for (let n = 0; n < 100; n++) spine.publish(subject(name), bytes(String(n)));
  await within(spine.flush(), "the flush");
  const bucket = await spine.keyValue("CONFORMANCE");
  assert.equal(spine.status.state, "connected");
  const drained = spine.drain();
  assert.throws(() => spine.publish(subject(name), bytes("x")), refusedWith("spine-unavailable"));
  await within(drained, "the drain");
  await within(spine.drain(), "a second drain");
  await within(pending, "the refusal of the open request");
  assert.equal(received.items.length, 100);
  assert.deepEqual(states, ["draining", "closed"]);
  assert.equal(spine.status.state, "closed");
  const refused = refusedWith("spine-unavailable");
  assert.throws(() => spine.publish(subject(name), bytes("x")), refused);
  assert.throws(() => spine.subscribe(subject(name), () => {}), refused);
  await assert.rejects(spine.flush(), refused);
  await assert.rejects(spine.request(subject(name), bytes(""), { timeout_ms: 1_000 }), refused);
  await assert.rejects(spine.keyValue("CONFORMANCE"), refused);
  await assert.rejects(bucket.get(["a"]), refused);
  await assert.rejects(bucket.put(["a"], bytes("")), refused);
}

/** Every case of publish, subscribe, request and drain. */
export const MESSAGE_CASES: readonly Case[] = [
  { behaviour: "a message arrives later, as a copy, with its headers", run: publishes },
  {
    behaviour: "messages of one publisher keep their order across subjects and subscriptions",
    run: keepsOrder,
  },
  { behaviour: "wildcards match by NATS' rules", run: matches },
  { behaviour: "every receiver owns its payload", run: copies },
  { behaviour: "a payload that is given away arrives, also with those who only read", run: gives },
  { behaviour: "a queue group shares its messages, others get all", run: sharesInQueues },
  { behaviour: "unsubscribing stops delivery at once, also from inside", run: unsubscribes },
  { behaviour: "draining delivers what was routed and nothing after it", run: drainsOne },
  { behaviour: "a throwing handler ends no subscription", run: survivesThrowingHandlers },
  { behaviour: "requests get their own answers, with headers", run: requests },
  { behaviour: "a request that nobody hears is brain-unavailable", run: refusesWithoutResponder },
  { behaviour: "a request without answer is command-timeout", run: timesOut },
  { behaviour: "the largest payload passes, a larger one is message-too-large", run: limitsSize },
  { behaviour: "bad subjects, patterns, queues and headers are TypeErrors", run: checksAgain },
  { behaviour: "one flush confirms what all callers published", run: flushesForAll },
  { behaviour: "a drain delivers what is under way and refuses the rest", run: drains },
];
