/** Reading a stream to its end: messages that arrive during a read are not skipped. */
import assert from "node:assert/strict";
import type { DurableLog } from "../../shared/spine/contract/durable_log.ts";
import { SPINE_NOW_MS, testSpine } from "../testing/spine.ts";
import { STREAMS_BUCKET } from "../../shared/records/buckets.ts";
import { mostInOneTurn } from "../../shared/testing/most_in_one_turn.ts";
import { callerOf } from "../message/testing/path.ts";
import { ann } from "../auth/testing/identity.ts";
import type { StreamContext } from "./context.ts";
import { findStream, removeStream } from "./lifecycle.ts";
import { tokenOf } from "./offset.ts";
import { readStream } from "./read.ts";
import { read } from "./read_routes.ts";
import { streamShield } from "./testing/context.ts";

const TEXT = { "content-type": "text/plain" };
const key = { tenant_id: "acme", room_id: "r" };

Deno.test("reading: a message that arrives between the read and its answer is not skipped", async () => {
  await using engine = testSpine();
  const shield = streamShield(engine.spine);
  const { context } = shield;
  await shield.put("r", TEXT);
  const { record } = await findStream(context, key);
  const log = await context.logs.of("acme");
  for (let at = 1; at <= 4; at++) {
    const before = await readStream(context, key, record, undefined);
    let heads = 0;
    // A page reads the head first, and then the end of the stream.
    const late = new Proxy<DurableLog>(log, {
      get(target, name) {
        if (name !== "head") {
          const value = Reflect.get(target, name, target);
          return typeof value === "function" ? value.bind(target) : value;
        }
        return async (room_id: string) => {
          if (++heads === at) await shield.post("r", TEXT, `${at}`);
          return await target.head(room_id);
        };
      },
    });
    const logs = { of: () => Promise.resolve(late) };
    const page = await readStream({ ...context, logs }, key, record, before.next);
    const rest = await readStream(context, key, record, page.next);
    const texts = [...page.messages, ...rest.messages].map((one) => new TextDecoder().decode(one));
    assert.deepEqual(texts, heads >= at ? [`${at}`] : [], `at head ${at}`);
  }
});

Deno.test("reading: an offset of a deleted stream is invalid in the next stream of that name", async () => {
  await using engine = testSpine();
  const shield = streamShield(engine.spine);
  const { context } = shield;
  await shield.put("r", TEXT);
  for (const text of ["1", "2", "3"]) await shield.post("r", TEXT, text);
  const first = await findStream(context, key);
  const [place] = (await readStream(context, key, first.record, undefined)).offsets;
  await removeStream(context, key, first);
  await shield.put("r", TEXT, "4");
  const { record } = await findStream(context, key);
  await assert.rejects(readStream(context, key, record, place), { reason: "stream-trimmed" });
  const made = await readStream(context, key, record, record.begin);
  assert.deepEqual(made.messages.map((one) => new TextDecoder().decode(one)), ["4"]);
  assert.deepEqual(await shield.texts("r"), ["4"]);
});

Deno.test("reading: a deleted stream that is kept for a fork goes with it, also if the fork's room was erased", async () => {
  await using engine = testSpine();
  let now_ms = SPINE_NOW_MS;
  const shield = streamShield(engine.spine, { logClock: () => now_ms });
  const { context } = shield;
  await shield.put("r", TEXT, "1");
  await shield.put("fork", { "stream-forked-from": "/v1/streams/r" });
  await removeStream(context, key, await findStream(context, key));
  now_ms += 60_000;
  await assert.rejects(findStream(context, key), { reason: "stream-gone" });
  // As an erasure of the room does.
  await (await engine.spine.keyValue(STREAMS_BUCKET)).delete(["acme", "fork"]);
  await assert.rejects(findStream(context, key), { reason: "stream-not-found" });
  const { last } = await (await context.logs.of("acme")).head("r");
  assert.equal(last, undefined);
});

Deno.test("reading: an offset after which messages are lost is refused in each kind of read", async () => {
  await using engine = testSpine();
  const shield = streamShield(engine.spine);
  const { context } = shield;
  await shield.put("r", TEXT);
  const { offset: place } = await shield.post("r", TEXT, "1");
  for (const text of ["2", "3"]) await shield.post("r", TEXT, text);
  const log = await context.logs.of("acme");
  await log.trim("r", 1);
  await refusedIn(context, tokenOf(log.lives, place));
});

Deno.test("reading: what was erased before a reader began is no loss, and what is erased later is one", async () => {
  await using engine = testSpine();
  const shield = streamShield(engine.spine);
  const { context } = shield;
  const JSON_TYPE = { "content-type": "application/json" };
  const get = async (offset: string) => {
    const request = { offset, live: undefined, cursor: undefined };
    const { signal } = new AbortController();
    const reading = { key, caller: callerOf(ann), request, if_none_match: null };
    const answer = await read(context, { ...reading, gone: () => signal });
    const items = (await answer.json() as string[]).map(Number);
    return { next: answer.headers.get("stream-next-offset")!, items };
  };
  await shield.put("r", JSON_TYPE);
  // Two pages of them.
  const numbers = Array.from({ length: 30 }, (_, n) => n);
  const post = (n: number) => shield.post("r", JSON_TYPE, `"${String(n).padStart(60_000)}"`);
  for (const n of numbers) await post(n);
  const log = await context.logs.of("acme");
  const first = (await log.read("r", { after: 0, limit: 1, max_bytes: 1 })).messages[0]!.offset;
  const early = await get("-1");
  const tail = await get("now");
  assert.equal(await log.erase("r", [24, 29].map((n) => first + n)), 2);
  // A page ends in front of what was erased, and the stream does, too.
  const page = await get("-1");
  const rest = await get(page.next);
  const left = numbers.filter((n) => n !== 24 && n !== 29);
  assert.deepEqual([...page.items, ...rest.items], left);
  const now = await get("now");
  await post(30);
  for (const { next } of [rest, now, tail]) assert.deepEqual((await get(next)).items, [30]);
  await assert.rejects(get(early.next), { reason: "stream-trimmed" });
  // Of messages in front of one that had been erased, a log does not say when they were.
  assert.equal(await log.erase("r", [first + 26]), 1);
  assert.deepEqual((await get(page.next)).items, [...rest.items, 30].filter((n) => n !== 26));
  const { last } = await log.head("r");
  assert.equal(await log.erase("r", [last!.offset]), 1);
  await assert.rejects(get(page.next), { reason: "stream-trimmed" });
  // Retention takes the first ones, whatever else was erased.
  const again = await get("-1");
  await log.trim("r", 2);
  await assert.rejects(get(again.next), { reason: "stream-trimmed" });
});

Deno.test("reading: a place that the log has never reached is refused in each way of reading", async () => {
  await using engine = testSpine();
  const shield = streamShield(engine.spine);
  const { context } = shield;
  await shield.put("r", TEXT);
  const { offset } = await shield.post("r", TEXT, "1");
  const { lives } = await context.logs.of("acme");
  await refusedIn(context, tokenOf(lives, offset + 1));
  await refusedIn(context, tokenOf(lives, Number.MAX_SAFE_INTEGER));
  // The head of another room of the tenant may be ahead of this room.
  await shield.put("other", TEXT);
  const { offset: later } = await shield.post("other", TEXT, "2");
  const { record } = await findStream(context, key);
  assert.equal((await readStream(context, key, record, later)).messages.length, 0);
});

async function refusedIn(context: StreamContext, offset: string): Promise<void> {
  const gone = new AbortController();
  for (const live of [undefined, "long-poll", "sse"] as const) {
    const request = { offset, live, cursor: undefined };
    const caller = callerOf(ann);
    const reading = { key, caller, request, if_none_match: null, gone: () => gone.signal };
    await assert.rejects(read(context, reading), { reason: "stream-trimmed" }, live);
  }
  gone.abort();
}

Deno.test("reading: a long-poll waits no longer than its token is good", async () => {
  await using engine = testSpine();
  const shield = streamShield(engine.spine, { clock: Date.now });
  const context = { ...shield.context, long_poll_ms: 600_000 };
  await shield.put("r", TEXT);
  const caller = callerOf({ ...ann, expires_ms: Date.now() + 20 });
  const request = { offset: "now", live: "long-poll", cursor: undefined } as const;
  const { signal } = new AbortController();
  const reading = { key, caller, request, if_none_match: null, gone: () => signal };
  assert.equal((await read(context, reading)).status, 204);
});

Deno.test("reading: however many read or wait for the same, few are served in one turn", async () => {
  await using engine = testSpine();
  const shield = streamShield(engine.spine);
  const { context } = shield;
  await shield.put("r", { "content-type": "application/json" });
  await shield.post("r", { "content-type": "application/json" }, `[${"0,".repeat(199)}0]`);
  const { record } = await findStream(context, key);
  const readers = (count: number) =>
    Array.from({ length: count }, () => readStream(context, key, record, undefined));
  assert.ok(await mostInOneTurn(readers(32)) <= 4, "readers");
  using wake = await context.wakes.watch(key);
  const { signal } = new AbortController();
  const waiting = Array.from(
    { length: 32 },
    () => wake.after(wake.count, 60_000, signal, () => true),
  );
  await shield.post("r", { "content-type": "application/json" }, "1");
  assert.ok(await mostInOneTurn(waiting) <= 4, "who waits");
});
