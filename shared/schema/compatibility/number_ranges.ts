/**
 * Sets of field and enum numbers as sorted ranges. A message's reservations or extensions can cover half a billion
 * numbers, so nothing here counts them one by one.
 */

/** Numbers from `start` up to but without `end`. */
export interface NumberRange {
  readonly start: number;
  readonly end: number;
}

/** The highest number a field may have. */
export const FIELD_NUMBER_MAX = 536_870_911;

/** Sorts and merges ranges. The other functions accept only such lists. */
export function mergeRanges(ranges: Iterable<NumberRange>): NumberRange[] {
  const sorted = [...ranges].filter(({ start, end }) => start < end)
    .sort((a, b) => a.start - b.start);
  const merged: { start: number; end: number }[] = [];
  for (const { start, end } of sorted) {
    const last = merged.at(-1);
    if (last !== undefined && start <= last.end) last.end = Math.max(last.end, end);
    else merged.push({ start, end });
  }
  return merged;
}

/** Whether a number is in one of the merged ranges. */
export function inRanges(merged: readonly NumberRange[], number: number): boolean {
  let low = 0;
  let high = merged.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((merged[middle]?.end ?? Infinity) <= number) low = middle + 1;
    else high = middle;
  }
  return (merged[low]?.start ?? Infinity) <= number;
}

/** The numbers of `from` that are not in `minus`; both merged. */
export function subtractRanges(
  from: readonly NumberRange[],
  minus: readonly NumberRange[],
): NumberRange[] {
  const left: NumberRange[] = [];
  let index = 0;
  for (const { start, end } of from) {
    let at = start;
    while ((minus[index]?.end ?? Infinity) <= at) index++;
    for (let probe = index; at < end; probe++) {
      const next = minus[probe];
      if (next === undefined || next.start >= end) {
        left.push({ start: at, end });
        break;
      }
      if (next.start > at) left.push({ start: at, end: next.start });
      at = Math.max(at, next.end);
    }
  }
  return left;
}

/** The ranges in the syntax of a `.proto` file: `3, 5 to 9, 1000 to max`; at most ten. */
export function formatRanges(ranges: readonly NumberRange[]): string {
  const shown = ranges.slice(0, 10).map(({ start, end }) => {
    if (end === start + 1) return String(start);
    return `${start} to ${end > FIELD_NUMBER_MAX ? "max" : end - 1}`;
  });
  return shown.join(", ") + (ranges.length > shown.length ? ", …" : "");
}
