/** Feeds one target with mutated inputs, one after another, and returns the outcome. No processes here. */
import { createRandom } from "../../shared/testing/seeded.ts";
import { mutated } from "./mutate.ts";
import type { Target } from "./target.ts";

/** Which inputs: those of `seed`, starting at `from`. */
export interface Feed {
  readonly seed: number;
  readonly from: number;
  readonly runs: number;
}

/** The outcome. */
export interface Fed {
  taken: number;
  refused: number;
  bytes: number;
  /** The slowest input's time, in ms, and its place. For people. */
  slowest_ms: number;
  slowest: number;
}

/** An input that a target handled wrongly. */
export class FuzzFailure extends Error {
  override readonly name = "FuzzFailure";

  constructor(readonly place: number, readonly bytes: Uint8Array, cause: unknown) {
    const text = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
    super(text.slice(0, 1_000), { cause });
  }
}

const mix = (seed: number, place: number): number =>
  (Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(place + 1, 0xc2b2ae35)) >>> 0;

/** The input at that place; the same on every machine. */
export function inputAt(target: Target, seed: number, place: number): Uint8Array {
  // The first draws of neighbouring seeds are similar; separate streams are not.
  return mutated(createRandom(mix(seed, place)).fork(place), target);
}

/**
 * Rejects with `FuzzFailure` at the first input that the target handles wrongly. `onPlace` is called with the place
 * before each input.
 */
export async function feed(
  target: Target,
  { seed, from, runs }: Feed,
  onPlace: (place: number) => void = () => {},
): Promise<Fed> {
  const fed: Fed = { taken: 0, refused: 0, bytes: 0, slowest_ms: 0, slowest: from };
  for (let place = from; place < from + runs; place++) {
    onPlace(place);
    const bytes = inputAt(target, seed, place);
    fed.bytes += bytes.length;
    const began_ms = performance.now();
    try {
      const running = target.run(bytes);
      if (running !== undefined) await running;
      fed.taken++;
    } catch (error) {
      if (!target.isRefusal(error)) throw new FuzzFailure(place, bytes, error);
      fed.refused++;
    }
    const took_ms = performance.now() - began_ms;
    if (took_ms > fed.slowest_ms) Object.assign(fed, { slowest_ms: took_ms, slowest: place });
  }
  return fed;
}
