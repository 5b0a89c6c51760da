/** Frames of one turn are sent unchanged, although other writes share their buffer. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type WireRun, WireTurn } from "./wire_turn.ts";

const frame = (size: number, fill: number) => new Uint8Array(size).fill(fill);

/** The run of these frames. */
function runOf(turn: WireTurn, frames: readonly Uint8Array<ArrayBuffer>[]): WireRun {
  let run: WireRun | undefined;
  for (const one of frames) run = turn.extend(run, one);
  return run!;
}

const joined = (frames: readonly Uint8Array[]) => frames.flatMap((one) => [...one]);

Deno.test("runs that are taken at once are joined in one buffer, and a run of many receivers once", () => {
  const turn = new WireTurn();
  const first = [frame(3, 1), frame(4, 2)];
  const second = [frame(2, 3), frame(9, 4)];
  const one = runOf(turn, first);
  const other = runOf(turn, second);
  const bytes = turn.bytesOf(one, true)!;
  assert.deepEqual([...bytes], joined(first));
  assert.equal(turn.bytesOf(one, true), bytes);
  const next = turn.bytesOf(other, true)!;
  assert.equal(next.buffer, bytes.buffer);
  assert.deepEqual([...next], joined(second));
  // It is requested again after its bytes were reused: for the third receiver it is not joined again.
  const again = turn.bytesOf(one, true)!;
  assert.notEqual(again.buffer, next.buffer);
  assert.deepEqual([...again], joined(first));
  assert.equal(turn.bytesOf(one, true), again);
  assert.equal(turn.bytesOf(undefined, true), undefined);
});

Deno.test("bytes that a write still reads are not changed by later runs", () => {
  const writes = fc.array(
    fc.record({
      sizes: fc.array(fc.integer({ min: 1, max: 6_000 }), { minLength: 1, maxLength: 5 }),
      taken: fc.boolean(),
      at_once: fc.boolean(),
    }),
    { maxLength: 20 },
  );
  fc.assert(
    fc.property(writes, (writes) => {
      const turn = new WireTurn();
      let fill = 0;
      const kept: { bytes: Uint8Array; wanted: Uint8Array }[] = [];
      for (const { sizes, taken, at_once } of writes) {
        const frames = sizes.map((size) => frame(size, ++fill));
        const bytes = turn.bytesOf(runOf(turn, frames), at_once)!;
        assert.deepEqual(bytes, Uint8Array.from(joined(frames)));
        if (!taken) {
          turn.giveAway(bytes);
          kept.push({ bytes, wanted: bytes.slice() });
        }
      }
      for (const { bytes, wanted } of kept) assert.deepEqual(bytes, wanted);
    }),
    { numRuns: 50 },
  );
});
