/** Reading a stream to its end: messages that arrive during a read are not skipped. */
import assert from "node:assert/strict";
import type { DurableLog } from "../../shared/spine/contract/durable_log.ts";
import { testSpine } from "../testing/spine.ts";
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

Deno.test("reading: an offset that the log has never reached is refused in each kind of read", async () => {
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

Deno.test("reading: of many readers that read or wait for the same messages, few are served in one turn", async () => {
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
