/** Numbers in blocks of the journal: each is read back, or refused without affecting other decisions. */
import assert from "node:assert/strict";
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { anyNumber } from "../testing/any_number.ts";
import { BlockBuilder } from "./block.ts";
import { BlockReader, BlockWriter } from "./block_bytes.ts";
import { parseLine } from "./record.ts";
import { closed, entry, open, recordOf } from "./testing/blocks.ts";

Deno.test("journal: any number is written as Protobuf writes it and read back, or refused and nothing written", () => {
  const safe = Number.isSafeInteger;
  const forms = [
    {
      fits: (value: number) => safe(value) && value >= 0,
      write: (to: BlockWriter, value: number) => to.count(value),
      read: (from: BlockReader) => from.count(),
      theirs: (value: number) => new BinaryWriter().uint64(BigInt(value)),
    },
    {
      fits: safe,
      write: (to: BlockWriter, value: number) => to.difference(value),
      read: (from: BlockReader) => from.difference(),
      theirs: (value: number) => new BinaryWriter().sint64(BigInt(value)),
    },
    {
      fits: (value: number) => safe(value) && value >= 0 && value < 256,
      write: (to: BlockWriter, value: number) => to.byte(value),
      read: (from: BlockReader) => from.byte(),
      theirs: (value: number) => new BinaryWriter().raw(Uint8Array.of(value)),
    },
  ];
  fc.assert(
    fc.property(anyNumber, fc.constantFrom(...forms), (value, { fits, write, read, theirs }) => {
      const to = new BlockWriter();
      if (!fits(value)) {
        assert.throws(() => write(to, value), RangeError);
        return assert.equal(to.length, 0);
      }
      write(to, value);
      assert.deepEqual([...to.written()], [...theirs(value).finish()]);
      const from = new BlockReader(to.written());
      assert.equal(read(from) - value, 0);
      from.end();
    }),
    { numRuns: 3_000 },
  );
});

/** The count fields of an entry, each with its name and a setter. */
function numbersOf(one: object): { readonly name: string; set(value: number): void }[] {
  if (ArrayBuffer.isView(one)) return [];
  return Object.entries(one).flatMap(([name, value]) => {
    // `abi` has two possible values, and `code` is 0 unless something is refused.
    if (name === "abi" || (name === "code" && "allowed" in one && one.allowed === true)) return [];
    if (typeof value === "number") {
      return [{ name, set: (value: number) => Object.assign(one, { [name]: value }) }];
    }
    return typeof value === "object" && value !== null ? numbersOf(value) : [];
  });
}

Deno.test("journal: a number that no reader would read costs its own decision, and the block stays whole", () => {
  const nonzero = anyNumber.filter((value) => value !== 0);
  const some_entries = fc.array(entry, { minLength: 1, maxLength: 4 });
  const seen = { kept: 0, refused: 0 };
  fc.assert(
    fc.property(some_entries, entry, some_entries, nonzero, fc.nat(), (...drawn) => {
      const [before, given, after, value, pick] = drawn;
      const odd = structuredClone(given);
      const numbers = numbersOf(odd);
      const { name, set } = numbers[pick % numbers.length]!;
      set(value);
      const builder = new BlockBuilder();
      const kept = [...before];
      for (const one of before) builder.add(one);
      const length = builder.length;
      try {
        builder.add(odd);
        kept.push(odd);
        seen.kept++;
      } catch (error) {
        assert(error instanceof RangeError && error.message.includes(name), String(error));
        assert.equal(builder.length, length);
        seen.refused++;
      }
      for (const one of after) builder.add(one);
      kept.push(...after);
      assert.equal(builder.records, kept.length);
      const lines = open(closed(builder));
      assert.deepEqual(lines, kept.map((one, at) => recordOf(one, 100 + at)));
      for (const line of lines) assert("line" in parseLine(JSON.stringify(line)));
    }),
    { numRuns: 200 },
  );
  assert(seen.kept > 20 && seen.refused > 20, JSON.stringify(seen));
});
