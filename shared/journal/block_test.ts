/**
 * Blocks of the journal: encoding and decoding are inverse, an erased user leaves only what identifies nobody, and
 * damage is a gap and never another record.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { BlockBuilder, type BlockHole, ClosedBlock, damagedHole, NO_KEY } from "./block.ts";
import { DamagedBlock, OtherVersionBlock } from "./block_bytes.ts";
import { isHole, type JournalEntry, type JournalLine, parseLine } from "./record.ts";
import { close, ended, entry, keyOf, open, OWNER, recordOf, terms } from "./testing/blocks.ts";

const HOLE: BlockHole = { from_ms: 5, to_ms: 9, records: 3, why: "queue-full" };

Deno.test("journal: a block decodes to what was encoded, as lines of the journal", () => {
  fc.assert(fc.property(fc.array(entry, { maxLength: 12 }), (entries) => {
    const lines = open(close(entries, [HOLE]));
    assert.deepEqual(lines, [
      { format: 1, hole: { node: "s1", tenant: "acme", ...HOLE } },
      ...entries.map((one, at) => recordOf(one, 100 + at)),
    ]);
    for (const line of lines) assert("line" in parseLine(JSON.stringify(line)));
  }));
});

Deno.test("journal: only data that identifies nobody stays of an erased user", () => {
  fc.assert(fc.property(fc.array(entry, { minLength: 1, maxLength: 8 }), (entries) => {
    const lines = open(close(entries), ["ann"]);
    for (const [at, one] of entries.entries()) {
      const line = lines[at]!;
      assert(!isHole(line));
      if (one.sender.user !== "ann") {
        assert.deepEqual(line, recordOf(one, 100 + at));
        continue;
      }
      assert.equal(line.sender, null);
      assert.deepEqual([line.room, line.reason, line.code], [one.room, one.reason, one.code]);
      assert.deepEqual([line.trace, line.message_id, line.message], [null, null, ""]);
      assert.equal(line.twist, undefined);
      const left = one.terms && { ...one.terms, expires_ms: null, grant: null };
      assert.deepEqual(line.terms, left);
      assert.equal(line.payload.form, one.payload.form === "none" ? "none" : "erased");
      const violation = one.schema?.violation && { path: "", rule: one.schema.violation.rule };
      assert.deepEqual(line.schema?.violation, violation && { ...violation, message: "" });
      for (const [place, { reads, units, logs, reason }] of line.policies.entries()) {
        assert.equal(units, one.policies[place]!.units);
        assert.deepEqual([logs, reason], [[], ""]);
        assert(reads.every(({ value, is_erased }) => value === null && is_erased === true));
      }
    }
  }));
});

Deno.test("journal: of a user without a key a block has only data that identifies nobody, and no erasure", () => {
  const [one, two] = fc.sample(entry, { numRuns: 2, seed: 11 }) as [JournalEntry, JournalEntry];
  const builder = new BlockBuilder();
  builder.add({ ...one, sender: { ...one.sender, user: "ann" }, room: "chat-1" });
  builder.add({ ...two, sender: { ...two.sender, user: "bob" } });
  const steps = builder.close(OWNER, { series: 7, number: 0, first: 100 }, [], [
    NO_KEY,
    keyOf("bob"),
  ]);
  let step = steps.next();
  while (step.done !== true) step = steps.next();
  const [of_ann, of_bob] = open(step.value) as [JournalLine, JournalLine];
  assert(!isHole(of_ann) && !isHole(of_bob));
  assert.deepEqual([of_ann.sender, of_ann.is_unkept, of_ann.room], [null, true, "chat-1"]);
  assert.deepEqual(of_bob, recordOf({ ...two, sender: { ...two.sender, user: "bob" } }, 101));
  assert("line" in parseLine(JSON.stringify(of_ann)));
});

Deno.test("journal: a flipped bit, a truncation or extra bytes make a block damaged, never another record", () => {
  const bytes = close(fc.sample(entry, { numRuns: 20, seed: 7 }), [HOLE]);
  const damaged = (other: Uint8Array) => assert.throws(() => open(other), DamagedBlock);
  fc.assert(
    fc.property(fc.nat(bytes.length * 8 - 1), (bit) => {
      const other = bytes.slice();
      other[bit >> 3]! ^= 1 << (bit & 7);
      damaged(other);
    }),
    { numRuns: 500 },
  );
  fc.assert(fc.property(fc.nat(bytes.length - 1), (length) => damaged(bytes.slice(0, length))));
  damaged(Uint8Array.of(...bytes, 0));
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), damaged));
  const { hole } = damagedHole({ ...OWNER, node: "s1", stored_ms: 7 }, new DamagedBlock(""));
  assert.deepEqual(hole, {
    node: "s1",
    tenant: "acme",
    from_ms: 7,
    to_ms: 7,
    records: null,
    why: "damaged",
  });
});

Deno.test("journal: an intact block of an unknown version is reported as such, not as damaged", () => {
  const bytes = close(fc.sample(entry, { numRuns: 3, seed: 7 })).slice(0, -16);
  for (const version of [1, 2, 3, 255]) {
    bytes[3] = version;
    const sum = createHash("sha256").update(bytes).digest().subarray(0, 16);
    assert.throws(() => open(Uint8Array.of(...bytes, ...sum)), OtherVersionBlock);
    assert.equal(new OtherVersionBlock("").why, "other-version");
  }
});

Deno.test("journal: a section opens with its own key only, and in its own block only", () => {
  const [one] = fc.sample(entry, { numRuns: 1, seed: 3 });
  const block = new ClosedBlock(close([{ ...one!, sender: { ...one!.sender, user: "ann" } }]));
  assert.throws(() => ended(block.open([keyOf("bob").key])), DamagedBlock);
});

Deno.test("journal: identifying data is not in the block's bytes", () => {
  const secret = "ann-the-user-of-this-block";
  const [one] = fc.sample(entry, { numRuns: 1, seed: 3 });
  const sender = { user: secret, connection: secret, remote_ip: secret };
  const data = new TextEncoder().encode(secret);
  const record = {
    ...one!,
    sender,
    trace: secret,
    message_id: secret,
    allowed: false,
    message: secret,
    terms: { ...fc.sample(terms, { numRuns: 1, seed: 3 })[0]!, grant: secret },
  };
  const bytes = close([{ ...record, payload: { form: "kept", data } }]);
  assert(!new TextDecoder("latin1").decode(bytes).includes("ann-the"));
});
