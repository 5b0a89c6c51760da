/** The memory of thousands of subscriptions on a real server. */
import assert from "node:assert/strict";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { startNats } from "../../../../tests/harness/nats_server.ts";
import { subject, within } from "../../testing/conformance.ts";
import { watched } from "../testing/nats_harness.ts";

setFlagsFromString("--expose-gc");
const collect: () => void = runInNewContext("gc");

const COUNT = 3_000;
/** Without shared promises and with closures it was 2,100; now it is 780. */
const BYTES_MAX = 1_300;

function heapBytes(): number {
  for (let times = 0; times < 3; times++) collect();
  return Deno.memoryUsage().heapUsed;
}

Deno.test("a subscription that waits for messages holds little memory, and ends as any other", async () => {
  await using server = await startNats();
  await using one = await watched(server.port);
  const { spine } = one;
  const open = (index: number) => spine.subscribe(subject("room", `r${index}`), () => {});
  // The first ones create what is shared.
  const kept = Array.from({ length: 100 }, (_, index) => open(index));
  await within(spine.flush(), "the flush");
  const before_bytes = heapBytes();
  for (let index = 100; index < 100 + COUNT; index++) kept.push(open(index));
  await within(spine.flush(), "the flush");
  const each_bytes = (heapBytes() - before_bytes) / COUNT;
  assert.ok(each_bytes < BYTES_MAX, `${each_bytes} bytes each`);
  await within(kept[0]!.drain(), "the drain");
  for (const subscription of kept) subscription.unsubscribe();
  await within(spine.flush(), "the flush");
});
