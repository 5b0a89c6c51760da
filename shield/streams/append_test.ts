/** Appends of several Shields to one stream: interrupted, repeated, late, and concurrent with closing. */
import assert from "node:assert/strict";
import { readEnvelope } from "@arqon/proto";
import { openEmbedded } from "../../shared/spine/embedded/embedded.ts";
import { overriding } from "../../shared/testing/overriding.ts";
import { keptLog, testSpine } from "../testing/spine.ts";
import { type StreamReason, StreamRefusal } from "./answers.ts";
import { type StreamShield, streamShield } from "./testing/context.ts";

const decoder = new TextDecoder();
const JSON_TYPE = { "content-type": "application/json" };
const by = (epoch: number, seq: number) => ({
  ...JSON_TYPE,
  "producer-id": "constructor",
  "producer-epoch": `${epoch}`,
  "producer-seq": `${seq}`,
});
const refused = (reason: StreamReason) => (error: unknown) =>
  error instanceof StreamRefusal && error.reason === reason;

Deno.test("appends: any Shield that receives an interrupted append again completes it, once", async () => {
  await using engine = testSpine();
  let stored = 0;
  const cut = streamShield(engine.spine, {
    onAppend: (_, store) => ++stored > 2 ? Promise.reject(new Error("cut off")) : store(),
  });
  const other = streamShield(engine.spine);
  await cut.put("r", JSON_TYPE);
  await assert.rejects(cut.post("r", by(0, 0), "[1,2,3,4]"), /cut off/);
  assert.deepEqual(await other.texts("r"), ["1", "2"]);
  await assert.rejects(other.post("r", by(0, 1), "[5]"), refused("stream-sequence"));
  const repeated = await other.post("r", by(0, 0), "[1,2,3,4]");
  assert.equal(repeated.duplicate, true);
  assert.deepEqual(await other.texts("r"), ["1", "2", "3", "4"]);
  await other.post("r", by(0, 0), "[1,2,3,4]");
  await other.post("r", by(0, 1), "[5]");
  assert.deepEqual(await streamShield(engine.spine).texts("r"), ["1", "2", "3", "4", "5"]);
});

Deno.test("appends: no Shield stores an append of an older epoch", async () => {
  await using engine = testSpine();
  const one = streamShield(engine.spine);
  const two = streamShield(engine.spine);
  await one.put("r", JSON_TYPE);
  await one.post("r", by(0, 0), "1");
  await two.post("r", by(1, 0), "2");
  await assert.rejects(one.post("r", by(0, 1), "3"), refused("stream-epoch-stale"));
  assert.deepEqual(await one.texts("r"), ["1", "2"]);
});

Deno.test("appends: two Shields that get the same append store it once", async () => {
  await using engine = testSpine();
  const one = streamShield(engine.spine);
  const two = streamShield(engine.spine);
  await one.put("r", JSON_TYPE);
  const outcomes = await Promise.all(
    [one, two, one, two].map((shield) => shield.post("r", by(0, 0), "[1,2]")),
  );
  assert.equal(outcomes.filter(({ duplicate }) => !duplicate).length, 1);
  assert.deepEqual(await one.texts("r"), ["1", "2"]);
});

Deno.test("appends: an append that another Shield's overtakes is judged and counted once", async () => {
  await using engine = testSpine();
  const two = streamShield(engine.spine);
  await two.put("r", JSON_TYPE);
  let taken = 0;
  let is_overtaken = false;
  const one = streamShield(engine.spine, {
    more: ({ records }) => ({
      rates: { take: () => void taken++ },
      records: overriding(records, {
        put: async (...given) => {
          if (!is_overtaken) {
            is_overtaken = true;
            await two.post("r", { ...by(0, 0), "producer-id": "other" }, "0");
          }
          return await records.put(...given);
        },
      }),
    }),
  });
  await one.post("r", by(0, 0), "[1,2]");
  assert.deepEqual(await two.texts("r"), ["0", "1", "2"]);
  assert.equal(taken, 2);
});

/** The messages in the log of the room `r`, whatever its stream shows. */
const stored = async ({ context }: StreamShield) => {
  const page = { after: 0, limit: 100, max_bytes: 1_000_000 };
  const { messages } = await (await context.logs.of("acme")).read("r", page);
  return messages.map(({ payload }) => decoder.decode(readEnvelope(payload).event?.data));
};

Deno.test("appends: an append that a closing overtakes is refused, and does not stay", async () => {
  await using engine = testSpine();
  const closer = streamShield(engine.spine);
  const late = streamShield(engine.spine, {
    onAppend: async (_, store) => {
      await closer.post("r", { "stream-closed": "true" }, "");
      return await store();
    },
  });
  await closer.put("r", JSON_TYPE);
  await closer.post("r", JSON_TYPE, "1");
  await assert.rejects(late.post("r", JSON_TYPE, "2"), refused("stream-closed"));
  assert.deepEqual(await late.texts("r"), ["1"]);
  assert.deepEqual(await stored(late), ["1"]);
});

Deno.test("appends: an append to a stream that is erased meanwhile does not stay", async () => {
  await using engine = testSpine();
  const other = streamShield(engine.spine);
  const key = { tenant_id: "acme", room_id: "r" };
  const late = streamShield(engine.spine, {
    onAppend: async (_, store) => {
      await other.context.records.delete(key, (await other.context.records.get(key))!.revision);
      return await store();
    },
  });
  await other.put("r", JSON_TYPE);
  await assert.rejects(late.post("r", JSON_TYPE, "2"), refused("stream-not-found"));
  assert.deepEqual(await stored(late), []);
});

Deno.test("appends: of the first messages of a stream that cannot be created none stays", async () => {
  await using engine = testSpine();
  const other = streamShield(engine.spine);
  const key = { tenant_id: "acme", room_id: "r" };
  let is_cut = true;
  const late = streamShield(engine.spine, {
    onAppend: async (_, store) => {
      const offset = await store();
      if (is_cut) is_cut = false;
      else throw new Error("cut off");
      return offset;
    },
  });
  await assert.rejects(late.put("r", JSON_TYPE, "[1,2]"), /cut off/);
  assert.deepEqual((await stored(late)).slice(0, -1), [], "the answer about the last one was lost");
  const overtaken = streamShield(engine.spine, {
    onAppend: async (_, store) => {
      await other.context.records.delete(key, (await other.context.records.get(key))!.revision);
      return await store();
    },
  });
  await (await late.context.logs.of("acme")).trim("r", 0);
  await assert.rejects(overtaken.put("r", JSON_TYPE, "[1,2]"), refused("stream-exists"));
  assert.deepEqual(await stored(late), []);
});

Deno.test("appends: an interrupted closing is completed with all acknowledged messages", async () => {
  await using engine = testSpine();
  const shield = streamShield(engine.spine);
  const key = { tenant_id: "acme", room_id: "r" };
  await shield.put("r", JSON_TYPE);
  await shield.post("r", JSON_TYPE, "1");
  const found = await shield.context.records.get(key);
  await shield.context.records.put(key, { ...found!.record, closed: {} }, found!.revision);
  await assert.rejects(shield.post("r", JSON_TYPE, "2"), refused("stream-closed"));
  assert.deepEqual(await shield.texts("r"), ["1"]);
});

for (const way of ["erased", "trimmed"] as const) {
  Deno.test(`appends: an append whose message was ${way} meanwhile counts once, and the next one is accepted`, async () => {
    let now = 1_700_000_000_000;
    const clock = () => now;
    const spine = openEmbedded({ log: keptLog().log, now: clock, monotonic_ms: clock });
    const shield = () => streamShield(spine, { clock });
    const first = shield();
    await first.put("r", JSON_TYPE);
    const { offset } = await first.post("r", by(0, 0), "1");
    await first.post("r", JSON_TYPE, "2");
    const log = await first.context.logs.of("acme");
    if (way === "erased") await log.erase("r", [offset]);
    else await log.trim("r", 1);
    // After that the log itself no longer detects repetitions.
    now += 150_000;
    assert.equal((await shield().post("r", by(0, 0), "1")).duplicate, true);
    assert.deepEqual(await first.texts("r"), ["2"]);
    await shield().post("r", by(0, 1), "3");
    assert.deepEqual(await first.texts("r"), ["2", "3"]);
    await spine.drain();
  });
}
