/**
 * A bounded history of deltas: one slot per level, each with the newest changes as one delta per writer, as many as fit
 * its level. It answers "changes since clock c" for receivers that missed little; others get the whole state
 * (`state_read.ts`).
 */
import {
  absorbGroup,
  continuesGroup,
  copyGroup,
  deltaSize,
  draftOf,
  emptyDraft,
  groupSize,
  seal,
} from "./delta.ts";
import type { DeltaGroup } from "./delta.ts";
import { type Clocks, type Delta, writerKey } from "./types.ts";

/** Limits of the slots that replicas keep per writer, in entries plus covered tags. */
export const HISTORY_LEVELS: readonly number[] = [100, 1_000, 10_000];

/** The slots, smallest first; none of them is ever larger than its level. */
export interface Generations {
  readonly levels: readonly number[];
  /** Empty until the first push. */
  slots: DeltaGroup[];
}

/** An empty history. RangeError unless levels ascend. */
export function createGenerations(levels: readonly number[] = HISTORY_LEVELS): Generations {
  if (levels.some((level, index) => !(level > (levels[index - 1] ?? 0)))) {
    throw new RangeError(`levels ${levels.join(", ")} do not grow from above 0`);
  }
  return { levels, slots: [] };
}

const groupOf = (deltas: readonly Delta[]): DeltaGroup =>
  new Map(deltas.map((delta) => [writerKey(delta.writer), draftOf(delta)]));

const nothingSince = (deltas: readonly Delta[]): DeltaGroup =>
  new Map(deltas.map(({ writer, end }) => [writerKey(writer), emptyDraft(writer, end)]));

/** The largest content up to now that fits slot `index`, if its own does not. */
function smallerContent(
  { levels, slots }: Generations,
  index: number,
  deltas: readonly Delta[],
  size: number,
): DeltaGroup {
  const level = levels[index]!;
  for (let smaller = index - 1; smaller >= 0 && size <= levels[smaller]!; smaller--) {
    if (groupSize(slots[smaller]!) <= level) return copyGroup(slots[smaller]!);
  }
  const alone = groupOf(deltas);
  return groupSize(alone) <= level ? alone : nothingSince(deltas);
}

/**
 * Adds deltas, at most one per writer, to every slot that they continue; a slot that would grow
 * beyond its level takes over the next smaller one's content, or the deltas alone, or, when these
 * alone are too large, starts again after them. In O(deltas), spread over many pushes.
 */
export function pushDeltas(generations: Generations, deltas: readonly Delta[]): void {
  const { levels } = generations;
  if (generations.slots.length === 0) generations.slots = levels.map(() => new Map());
  const { slots } = generations;
  const size = deltas.reduce((sum, delta) => sum + deltaSize(delta), 0);
  // Content with these deltas cannot fit a smaller level; this avoids copying them.
  const fits = levels.map((level) => size <= level);
  const grown = slots.map((slot, index) => fits[index]! && absorbGroup(slot, deltas));
  // The largest first: each needs what the smaller ones have grown to.
  for (let index = levels.length - 1; index >= 0; index--) {
    const slot = slots[index]!;
    if (grown[index] && groupSize(slot) > levels[index]!) {
      slots[index] = smallerContent(generations, index, deltas, size);
    } else if (!fits[index] && continuesGroup(slot, deltas)) {
      slots[index] = nothingSince(deltas);
    }
  }
}

/**
 * The changes after these clocks: from the smallest slot that begins at or before them and goes beyond, restricted to
 * the known writers. Undefined: no slot does.
 */
export function deltasSince(generations: Generations, known: Clocks): Delta[] | undefined {
  for (const slot of generations.slots) {
    const shared = [...slot].filter(([key]) => known.has(key));
    const covered = shared.every(([key, { start }]) => start <= known.get(key)!);
    const brings = shared.some(([key, { end }]) => end > known.get(key)!);
    if (covered && brings) return shared.map(([, draft]) => seal(draft));
  }
}
