/** Messages that are appended together on a real server, also when it does not take them together any more. */
import assert from "node:assert/strict";
import { startNats } from "../../../../tests/harness/nats_server.ts";
import { bytes, text } from "../../conformance/conformance.ts";
import { ALL, logEngine, operator, RETENTION } from "../testing/nats_log_harness.ts";
import { takesBatches } from "./nats_log_batch.ts";

const COUNT = 40;
const some = (from: number) =>
  Array.from({ length: COUNT }, (_, at) => ({ payload: bytes(String(from + at)) }));

Deno.test("a stream takes batches once they are asked for, and one that takes none any more gets single messages", async () => {
  await using nats = await startNats({ jetstream: true });
  await using one = await logEngine([nats.url], {}, { request_timeout_ms: 60_000 });
  await using seen = await operator(nats.url);
  const log = await one.spine.log("acme", RETENTION);
  const { streams } = seen;
  const configOf = async () => (await streams.info(log.stream)).config;
  await log.append("a", bytes("0"));
  assert.notEqual((await configOf()).allow_atomic, true, "nobody has asked for it");
  const single = await log.appendAll("b", some(0).slice(0, 1), 0);
  assert.notEqual((await configOf()).allow_atomic, true, "one message is no batch");
  let { offset } = await log.appendAll("b", some(1), single.offset);
  assert.equal((await configOf()).allow_atomic, true);
  // Another process may have changed the stream from what it had read before.
  await streams.update(log.stream, { ...await configOf(), allow_atomic: false });
  ({ offset } = await log.appendAll("b", some(COUNT + 1), offset));
  ({ offset } = await log.appendAll("b", some(2 * COUNT + 1), offset));
  assert.equal((await configOf()).allow_atomic, true, "asked for anew");
  const { messages } = await log.read("b", ALL);
  assert.deepEqual(messages.map(({ payload }) => text(payload)), messages.map((_, at) => `${at}`));
  assert.equal(messages.length, 3 * COUNT + 1);
  assert.equal(messages.at(-1)?.offset, offset);
});

Deno.test("a server of before 2.12 is not asked for batches", () => {
  assert.equal(takesBatches(undefined), false);
  assert.equal(takesBatches({}), false);
  assert.equal(takesBatches({ api_lvl: 1 }), false);
  assert.equal(takesBatches({ api_lvl: 2 }), true);
});
