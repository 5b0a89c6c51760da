/** Questions to the cluster and their gathered answers, on both engines, with misbehaving processes. */
import assert from "node:assert/strict";
import { z } from "zod";
import { startNats } from "../../tests/harness/nats_server.ts";
import { Answerer, type AnswerHandlers, BYE } from "./cluster_answerer.ts";
import { ClusterAsker, QUESTIONS_MAX } from "./cluster_asker.ts";
import type { AskedNodes, AskerOptions, RegisteredShield } from "./cluster_asker.ts";
import { decodeQuestion, encodeAnswer, encodeQuestion } from "./cluster_question.ts";
import { QUIET } from "../testing/logs.ts";
import { openEmbedded } from "../spine/embedded/embedded.ts";
import { watched } from "../spine/nats/testing/nats_harness.ts";
import type { Spine } from "../spine/contract/spine.ts";
import { CLUSTER_QUESTIONS, processSubject } from "../subjects/subject.ts";
import { pace } from "../testing/pace.ts";
import { until } from "../testing/until.ts";

const log = QUIET;
/** Nobody is so slow that it matters, except where a test is about it. */
const LONG_MS = 30_000;
const SHORT_MS = 50;
const Value = z.strictObject({ n: z.number() });

interface Process extends Disposable {
  readonly asker: ClusterAsker;
  readonly answerer: Answerer;
}

let ids = 0;
const random = (size: number) => {
  const bytes = new Uint8Array(size);
  new DataView(bytes.buffer).setUint32(0, ++ids);
  return bytes;
};

function start(
  spine: Spine,
  node_id: string,
  handlers: AnswerHandlers,
  { kind = "shield", timeout_ms = LONG_MS, now = Date.now, ...more }: Partial<
    Pick<AskerOptions, "kind" | "timeout_ms" | "now" | "monotonic_ms" | "registered">
  > = {},
): Process {
  const common = { spine, node_id, kind, log, now };
  const answerer = new Answerer({ ...common, handlers, onAsker: (who) => asker.onAsker(who) });
  const asker = new ClusterAsker({ ...common, ...more, answerer, random, timeout_ms });
  return {
    asker,
    answerer,
    [Symbol.dispose]() {
      answerer.close();
      asker.close();
    },
  };
}

/** Waits until `asker` knows that process. */
async function meet({ asker }: Process, node_id: string): Promise<void> {
  await until(`${node_id} is known`, async () => {
    if (!asker.isKnown(node_id)) await asker.hello();
    return asker.isKnown(node_id);
  });
}

async function everybodyAnswers(one_spine: Spine, other_spine: Spine): Promise<void> {
  using one = start(one_spine, "one", { n: () => ({ n: 1 }) });
  using two = start(other_spine, "two", { n: () => ({ n: 2 }) });
  using brain = start(other_spine, "brain:two", { n: () => ({ n: 3 }) }, { kind: "brain" });
  await Promise.all([meet(one, "two"), meet(one, "brain:two"), meet(brain, "one")]);
  const { answers: clocks } = await one.asker.hello();
  assert.deepEqual(clocks.map(({ node_id }) => node_id), ["brain:two", "one", "two"]);
  const all = await one.asker.ask("n", Value);
  assert.deepEqual(all.nodes, { answered: ["brain:two", "one", "two"], silent: [] });
  assert.deepEqual(all.answers.map(({ value }) => value.n), [3, 1, 2]);
  const shields = await one.asker.ask("n", Value, { of: "shield" });
  assert.deepEqual(shields.nodes.answered, ["one", "two"]);
  const only = await two.asker.ask("n", Value, { to: "one" });
  assert.deepEqual(only.answers, [{ node_id: "one", kind: "shield", value: { n: 1 } }]);
}

async function longAnswers(one_spine: Spine, other_spine: Spine): Promise<void> {
  const rows = Array.from({ length: 60_000 }, (_, index) => `row ${index}`.padEnd(30, "-"));
  using one = start(one_spine, "one", { rows: () => ({ rows: [] }) });
  using _two = start(other_spine, "two", { rows: () => ({ rows }) });
  await meet(one, "two");
  const schema = z.strictObject({ rows: z.array(z.string()) });
  const { answers } = await one.asker.ask("rows", schema, { to: "two" });
  assert.deepEqual(answers[0]?.value.rows, rows);
}

async function farewell(one_spine: Spine, other_spine: Spine): Promise<void> {
  using one = start(one_spine, "one", { n: () => ({ n: 1 }) });
  const two = start(other_spine, "two", { n: () => ({ n: 2 }) });
  await meet(one, "two");
  two[Symbol.dispose]();
  await other_spine.flush();
  await until("it is waited for no more", () => !one.asker.isKnown("two"));
  assert.deepEqual((await one.asker.ask("n", Value)).nodes, { answered: ["one"], silent: [] });
}

const CONFORMANCE = { everybodyAnswers, longAnswers, farewell };

Deno.test("the embedded Spine carries questions and answers", async (t) => {
  for (const [name, check] of Object.entries(CONFORMANCE)) {
    await t.step(name, async () => {
      const spine = openEmbedded({ log, now: Date.now });
      await check(spine, spine);
      await spine.drain();
    });
  }
});

Deno.test("NATS carries questions and answers", async (t) => {
  await using nats = await startNats({ jetstream: true });
  for (const [name, check] of Object.entries(CONFORMANCE)) {
    await t.step(name, async () => {
      await using one = await watched(nats.port);
      await using other = await watched(nats.port);
      await check(one.spine, other.spine);
    });
  }
});

Deno.test("a late node is missing in the early result, and present in the complete answer", async () => {
  const spine = openEmbedded({ log, now: Date.now });
  const late = Promise.withResolvers<{ n: number }>();
  using one = start(spine, "one", { n: () => ({ n: 1 }) });
  using _two = start(spine, "two", { n: () => late.promise });
  await meet(one, "two");
  const early = Promise.withResolvers<AskedNodes>();
  const pending = one.asker.ask("n", Value, {
    early: { after_ms: SHORT_MS, tell: ({ nodes }) => early.resolve(nodes) },
  });
  assert.deepEqual(await early.promise, { answered: ["one"], silent: ["two"] });
  late.resolve({ n: 2 });
  const { nodes, asked_ms, received_ms } = await pending;
  assert.deepEqual(nodes, { answered: ["one", "two"], silent: [] });
  assert.equal(one.asker.counts.silent, 0, "who is late is not silent");
  const [first = 0, last = 0] = ["one", "two"].map((node) => received_ms.get(node));
  assert.ok(asked_ms <= first && first + SHORT_MS / 2 < last, `${asked_ms} ${first} ${last}`);
  // A complete answer is passed on only once, and a question may have its own timeout.
  const hurried = await one.asker.ask("n", Value, {
    early: { after_ms: LONG_MS, tell: () => assert.fail("nobody is late") },
  });
  assert.deepEqual(hurried.nodes.silent, []);
  using _three = start(spine, "three", { n: () => new Promise(() => {}) });
  await meet(one, "three");
  const short = await one.asker.ask("n", Value, { timeout_ms: SHORT_MS });
  assert.ok(short.nodes.silent.includes("three"));
  await spine.drain();
});

Deno.test("a busy process is not silent to itself: its own answer is awaited, and is in the early result", async () => {
  const spine = openEmbedded({ log, now: Date.now });
  const busy = Promise.withResolvers<{ n: number }>();
  using one = start(spine, "one", { n: () => busy.promise });
  using _two = start(spine, "two", { n: () => new Promise(() => {}) });
  await meet(one, "two");
  const early_nodes: AskedNodes[] = [];
  const early = {
    after_ms: 1,
    tell: ({ nodes }: { nodes: AskedNodes }) => early_nodes.push(nodes),
  };
  const pending = one.asker.ask("n", Value, { early, timeout_ms: SHORT_MS });
  await pace(2 * SHORT_MS);
  assert.deepEqual([early_nodes, one.asker.pending], [[], 1]);
  busy.resolve({ n: 1 });
  const { nodes } = await pending;
  const without_two = { answered: ["one"], silent: ["two"] };
  assert.deepEqual([nodes, early_nodes], [without_two, [without_two]]);
  await spine.drain();
});

Deno.test("a node that does not answer in time is named, and forgotten only after two minutes", async () => {
  const spine = openEmbedded({ log, now: Date.now });
  let passed_ms = 0;
  const clocks = { now: () => 2_000_000 - passed_ms, monotonic_ms: () => passed_ms };
  const handlers = { n: () => ({ n: 1 }) };
  using one = start(spine, "one", handlers, { timeout_ms: SHORT_MS, ...clocks });
  using two = start(spine, "two", { n: () => new Promise(() => {}) });
  await meet(one, "two");
  assert.deepEqual((await one.asker.ask("n", Value)).nodes, { answered: ["one"], silent: ["two"] });
  assert.equal(two.answerer.pending, 1);
  passed_ms += 119_000;
  assert.deepEqual((await one.asker.ask("n", Value)).nodes.silent, ["two"]);
  passed_ms += 2_000;
  assert.deepEqual(
    (await one.asker.ask("n", Value)).nodes.silent,
    ["two"],
    "it is named once more",
  );
  assert.deepEqual((await one.asker.ask("n", Value)).nodes.silent, []);
  assert.equal(one.asker.counts.silent, 3);
  await spine.drain();
});

Deno.test("a process that fails, or does not know the query, delays nobody", async () => {
  const spine = openEmbedded({ log, now: Date.now });
  using one = start(spine, "one", { n: () => ({ n: 1 }) });
  using two = start(spine, "two", {});
  using three = start(spine, "three", { n: () => Promise.reject(new Error("broken")) });
  using four = start(spine, "four", { n: () => ({ n: "no number" }) });
  await Promise.all(["two", "three", "four"].map((id) => meet(one, id)));
  const { nodes } = await one.asker.ask("n", Value);
  assert.deepEqual(nodes, { answered: ["one"], silent: ["four", "three", "two"] });
  assert.deepEqual([two, three].map(({ answerer }) => answerer.counts.refused), [1, 1]);
  assert.equal(four.answerer.counts.answered > 0, true);
  assert.equal(one.asker.counts.malformed, 1);
  await spine.drain();
});

Deno.test("answers that anybody writes are bounded, checked, and never for another node", async () => {
  const spine = openEmbedded({ log, now: Date.now });
  using one = start(spine, "one", { n: () => ({ n: 1 }) });
  const to = processSubject("answers", "one");
  spine.subscribe(CLUSTER_QUESTIONS, ({ payload }) => {
    const question = decodeQuestion(payload);
    if (question?.question !== "n") return;
    const head = { id: question.id, node: "liar", kind: "shield" } as const;
    const json = (text: string) => new TextEncoder().encode(text);
    const [first = new Uint8Array(), second = new Uint8Array()] = encodeAnswer(
      head,
      json(`{"n":${"1".repeat(1_500)}}`),
      2_000,
    );
    spine.publish(to, json("junk"));
    spine.publish(to, json("{}\n{}"));
    // It cannot answer for the asking process, nor repeat or change its parts.
    spine.publish(to, encodeAnswer({ ...head, node: "one" }, json('{"n":9}'))[0]!);
    spine.publish(to, first);
    spine.publish(to, first);
    spine.publish(to, encodeAnswer(head, json('{"n":9}'))[0]!);
    spine.publish(to, second);
  });
  const { answers, nodes } = await one.asker.ask("n", Value, { to: "one" });
  assert.deepEqual(answers, [{ node_id: "one", kind: "shield", value: { n: 1 } }]);
  assert.deepEqual(nodes, { answered: ["one"], silent: [] });
  const liar = await one.asker.ask("n", Value, { to: "liar" });
  assert.equal(liar.answers.length, 0);
  assert.deepEqual(liar.nodes.silent, ["liar"]);
  assert.ok(one.asker.counts.malformed >= 5, `${one.asker.counts.malformed}`);
  await spine.drain();
});

Deno.test("a late order is not executed; a late query is still answered", async () => {
  const spine = openEmbedded({ log, now: Date.now });
  let done = 0;
  let now_ms = 1_000_000;
  using one = start(spine, "one", {});
  const handlers = { act: () => ({ n: ++done }) };
  // It stalls between its answer and the order.
  using two = start(spine, "two", handlers, { now: () => now_ms += 30_001 });
  const late = await one.asker.ask("act", Value, { to: "two", is_order: true });
  assert.deepEqual([late.answers.length, late.nodes.silent, done], [0, ["two"], 0]);
  assert.equal(two.answerer.counts.refused, 1);
  const { answers } = await one.asker.ask("act", Value, { to: "two" });
  assert.equal(answers[0]?.value.n, 1);
  await spine.drain();
});

for (const hours of [2, -2]) {
  Deno.test(`an order is obeyed by processes whose clocks differ by ${hours} h, once each`, async () => {
    const spine = openEmbedded({ log, now: Date.now });
    let done = 0;
    const handlers = { act: () => ({ n: ++done }) };
    using one = start(spine, "one", handlers);
    const now = () => Date.now() + hours * 3_600_000;
    using _two = start(spine, "two", handlers, { now });
    using _three = start(spine, "three", handlers);
    await Promise.all([meet(one, "two"), meet(one, "three")]);
    const only = await one.asker.ask("act", Value, { to: "two", is_order: true });
    assert.deepEqual([only.nodes, done], [{ answered: ["two"], silent: [] }, 1]);
    const { nodes } = await one.asker.ask("act", Value, { of: "shield", is_order: true });
    assert.deepEqual([nodes, done], [{ answered: ["one", "three", "two"], silent: [] }, 4]);
    await spine.drain();
  });
}

Deno.test("too many questions at once are refused", async () => {
  const spine = openEmbedded({ log, now: Date.now });
  const { promise, resolve } = Promise.withResolvers<{ n: number }>();
  using one = start(spine, "one", { n: () => promise });
  const ask = (tenant: string) => one.asker.ask("n", Value, { params: { tenant } });
  const pending = Array.from({ length: QUESTIONS_MAX - 2 }, () => ask("acme"));
  await assert.rejects(ask("acme"), { reason: "too-many-pending", code: 429 });
  pending.push(ask("globex"));
  assert.equal(one.asker.counts.refused, 1);
  resolve({ n: 1 });
  for (const { answers } of await Promise.all(pending)) assert.equal(answers[0]?.value.n, 1);
  assert.equal(one.asker.pending, 0);
  await spine.drain();
});

Deno.test("without a Spine this process answers for itself, at once", async () => {
  const spine = openEmbedded({ log, now: Date.now });
  using one = start(spine, "one", { n: () => ({ n: 1 }) });
  using _two = start(spine, "two", { n: () => ({ n: 2 }) });
  await meet(one, "two");
  await spine.drain();
  const { nodes } = await one.asker.ask("n", Value);
  assert.deepEqual(nodes, { answered: ["one"], silent: ["two"] });
});

Deno.test("a query of another kind is ignored, and a farewell expects no answer", async () => {
  const spine = openEmbedded({ log, now: Date.now });
  let requests = 0;
  using one = start(spine, "one", { n: () => ({ n: ++requests }) });
  const question = { question: "n", id: "q", asker: "x", kind: "brain", params: {} } as const;
  spine.publish(CLUSTER_QUESTIONS, encodeQuestion({ ...question, of: "brain" }));
  spine.publish(CLUSTER_QUESTIONS, encodeQuestion({ ...question, to: "two" }));
  spine.publish(CLUSTER_QUESTIONS, encodeQuestion({ ...question, question: BYE }));
  spine.publish(CLUSTER_QUESTIONS, new Uint8Array([1, 2, 3]));
  const answered = Promise.withResolvers<void>();
  spine.subscribe(processSubject("answers", "x"), () => answered.resolve());
  spine.publish(CLUSTER_QUESTIONS, encodeQuestion(question));
  await answered.promise;
  assert.equal(requests, 1);
  assert.deepEqual(one.answerer.counts, { answered: 1, refused: 1 });
  await spine.drain();
});

Deno.test("the registry names a Shield that nobody has received, and ends the wait for a dead one", async () => {
  const spine = openEmbedded({ log, now: Date.now });
  const says = Promise.withResolvers<readonly RegisteredShield[]>();
  const registered = () => says.promise;
  using one = start(spine, "one", { n: () => ({ n: 1 }) }, { registered });
  using _gone = start(spine, "gone", { n: () => new Promise(() => {}) });
  await meet(one, "gone");
  const pending = one.asker.ask("n", Value);
  says.resolve([{ node_id: "gone", over_for_ms: 0 }]);
  assert.deepEqual((await pending).nodes, { answered: ["one"], silent: [] });
  assert.equal(one.asker.isKnown("gone"), false);
  const living = () => Promise.resolve([{ node_id: "never" }]);
  using two = start(spine, "two", {}, { registered: living, timeout_ms: SHORT_MS });
  const { nodes } = await two.asker.ask("n", Value, { of: "shield" });
  assert.ok(nodes.silent.includes("never"), JSON.stringify(nodes));
  // An unreadable registry changes nothing.
  const away = () => Promise.reject(new Error("away"));
  using three = start(spine, "three", { n: () => ({ n: 3 }) }, { registered: away });
  const alone = await three.asker.ask("n", Value);
  assert.ok(alone.nodes.answered.includes("three"), JSON.stringify(alone.nodes));
  await spine.drain();
});
