/** Memory freed by sockets, with a runtime that frees it after the close event. */
import assert from "node:assert/strict";
import { Freed } from "./capability.ts";

function freedBy() {
  let memory_bytes = 1_000;
  const found: Record<string, number> = {};
  const freed = new Freed<string>(() => memory_bytes, (who, bytes) => found[who] = bytes);
  const close = (who: string, held_bytes: number) => {
    freed.closing(who);
    memory_bytes -= held_bytes;
  };
  return { freed, close, found };
}

Deno.test("of several sockets that close in one turn, each is credited with its own memory", async () => {
  const { close, found } = freedBy();
  close("plain", 0);
  close("offender", 300);
  close("other", 100);
  close("idle", 0);
  assert.deepEqual(found, { plain: 0, offender: 300, other: 100 });
  await Promise.resolve();
  assert.deepEqual(found, { plain: 0, offender: 300, other: 100, idle: 0 });
});

Deno.test("an unobserved socket takes no credit from the previous one, and gives it none", () => {
  const { freed, close, found } = freedBy();
  close("offender", 300);
  freed.settle();
  close("unknown", 200);
  assert.deepEqual(found, { offender: 300 });
});
