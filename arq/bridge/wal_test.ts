/**
 * The messages of logical replication: positions, and truncated input. `tests/bridge_test.ts` reads those of a real
 * server.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { Progress } from "./intake.ts";
import { lsnText, parseLsn, readChange, readWal, statusUpdate } from "./wal.ts";

Deno.test("a position can be parsed again, and anything else is invalid", () => {
  fc.assert(fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (lsn) => {
    assert.equal(parseLsn(lsnText(lsn)), lsn);
  }));
  assert.equal(lsnText(0x16_B374D848n), "16/B374D848");
  for (const text of ["", "16", "16/", "/16", "G/1", "1/123456789", "1/1 "]) {
    assert.throws(() => parseLsn(text), TypeError);
  }
});

Deno.test("a truncated message is an error, and never a message", () => {
  const text = new TextEncoder().encode("arqon\0");
  const whole = new Uint8Array([
    ...new Uint8Array([0x77]),
    ...new Uint8Array(24),
    ...[0x4d, 1, 0, 0, 0, 0, 0, 0, 0, 9],
    ...text,
    ...[0, 0, 0, 2, 0x7b, 0x7d],
  ]);
  assert.deepEqual(readWal(whole), {
    kind: "message",
    prefix: "arqon",
    content: new Uint8Array([0x7b, 0x7d]),
  });
  for (let end = 0; end < whole.length; end++) {
    assert.throws(() => readWal(whole.subarray(0, end)), RangeError, String(end));
  }
});

Deno.test("a prefix of another program need not be UTF-8", () => {
  const change = [0x4d, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0xff, 0, 0, 0, 0, 1, 0x7b];
  const { kind } = readChange(new Uint8Array(change));
  assert.equal(kind, "message");
});

Deno.test("of an overlong message the beginning can be read, whatever its prefix", () => {
  const head = [0x4d, 1, 0, 0, 0, 0, 0, 0, 0, 9];
  const text = (prefix: string) => [...new TextEncoder().encode(`${prefix}\0`)];
  const begun = (prefix: string) =>
    readChange(
      new Uint8Array([...head, ...text(prefix), 9, 9, 9, 9, 0x7b]).subarray(0, 2_000),
      true,
    );
  assert.deepEqual(begun("arqon"), {
    kind: "message",
    prefix: "arqon",
    content: new Uint8Array([0x7b]),
  });
  for (const size of [1_500, 1_985, 1_989, 1_990, 3_000]) {
    assert.deepEqual(begun("x".repeat(size)), { kind: "other" });
  }
});

Deno.test("a status update has the position three times", () => {
  const view = new DataView(statusUpdate(7n, 946_684_800_001).buffer);
  assert.deepEqual([1, 9, 17].map((at) => view.getBigUint64(at)), [7n, 7n, 7n]);
  assert.equal(view.getBigInt64(25), 1_000n);
});

Deno.test("the bridge is as far as the first transaction that is not over, in whatever order they end", () => {
  const sizes = fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 12 });
  fc.assert(fc.property(sizes, fc.infiniteStream(fc.nat()), (counts, picks) => {
    const progress = new Progress(0n);
    const open: { readonly at: number; readonly over: () => void }[] = [];
    const left = [...counts];
    for (const [at, count] of counts.entries()) {
      progress.begin(1_000 + at);
      for (let n = 0; n < count; n++) open.push({ at, over: progress.message() });
      progress.commit(BigInt(at + 1));
    }
    for (;;) {
      const first = left.findIndex((count) => count > 0);
      const done = first < 0 ? counts.length : first;
      assert.equal(progress.done_lsn, BigInt(done));
      // The time is not that of a later transaction that is already settled.
      assert.equal(progress.done_ms, done === 0 ? 0 : 1_000 + done - 1);
      if (open.length === 0) return;
      const pick = (picks.next().value as number) % open.length;
      const [one] = open.splice(pick, 1);
      left[one!.at]!--;
      one!.over();
    }
  }));
});
