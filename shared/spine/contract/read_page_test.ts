/** Pages of a log whose replicas lag behind its leader. */
import assert from "node:assert/strict";
import type { LogMessage } from "./durable_log.ts";
import { readPage } from "./read_page.ts";

const READ = { after: 0, limit: 10, max_bytes: 1_000 };

/** A log whose replica has one more message at each read; `heads`: the newest offset at each question. */
function growing(heads: readonly number[]) {
  const counts = { reads: 0, heads: 0 };
  const messages = (to: number) =>
    Array.from({ length: to }, (_, at) => ({ offset: at + 1 }) as LogMessage);
  const log = {
    read: () => {
      const page = { stream: "L", messages: messages(++counts.reads), complete: true, more: false };
      return Promise.resolve(page);
    },
    head: () => {
      const offset = heads[Math.min(counts.heads++, heads.length - 1)]!;
      return Promise.resolve({ stream: "L", last: { ...messages(1)[0]!, offset } });
    },
  };
  return { counts, log: log as unknown as Parameters<typeof readPage>[0] };
}

Deno.test("a page is re-read until it has everything acknowledged before, and nothing later", async () => {
  const { counts, log } = growing([3, 9]);
  assert.equal((await readPage(log, "r", READ)).messages.length, 3);
  assert.equal(counts.reads, 3);
});

Deno.test("messages after `to`, or removed meanwhile, are not waited for", async () => {
  assert.equal((await readPage(growing([9]).log, "r", READ, 2)).messages.length, 2);
  assert.equal((await readPage(growing([9, 2]).log, "r", READ)).messages.length, 2);
});

Deno.test("a replica that lags for too long is an error", async () => {
  await assert.rejects(readPage(growing([50]).log, "r", READ), { reason: "log-unavailable" });
});
