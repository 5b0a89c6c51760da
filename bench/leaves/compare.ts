/**
 * The rule of the regression gate as a pure function: compares recorded and measured figures. Garbage may
 * grow by a tenth and 16 B; units of metered code must be exact.
 */
import type { LeafFigure } from "./leaf.ts";

/** The content of `bench/leaves/recorded.json`. */
export interface Recorded {
  /** Version of Deno with which the figures were made. */
  readonly deno: string;
  readonly v8: string;
  /** The figure of each leaf, in its unit. */
  readonly figures: Readonly<Record<string, number>>;
}

/** Factor by which garbage may grow. */
const TOLERANCE_SHARE = 1.1;
const TOLERANCE_BYTES = 16;

/** The largest figure that is not worse than this record. */
export function mostAllowed({ unit, value }: Omit<LeafFigure, "name">): number {
  return unit === "units" ? value : value * TOLERANCE_SHARE + TOLERANCE_BYTES;
}

const RECORD = "deno task bench leaves --record";

/** The line about a figure and its record; undefined when they are equal. A note is not a failure. */
function sentence(before: number | undefined, now: LeafFigure): string | undefined {
  const { name, unit, value } = now;
  if (before === undefined) return `${name}: ${value} ${unit} and no record; ${RECORD}`;
  const most = mostAllowed({ unit, value: before });
  if (value <= most) {
    if (before <= mostAllowed(now)) return undefined;
    return `NOTE ${name}: ${value} ${unit} instead of ${before}; record that with ${RECORD}`;
  }
  const what = unit === "units"
    ? "the policy or the prices of instructions have changed"
    : "each message now makes more garbage";
  return `${name}: ${value} ${unit}, recorded ${before}, at most ${Math.floor(most)}: ${what}. ` +
    `Find what allocates, or, if it is worth it, ${RECORD} and say why in the commit`;
}

/**
 * The verdict. Worse figures fail, and so do leaves without a record and records without a leaf; better figures are
 * notes.
 */
export function judge(
  recorded: Recorded,
  measured: readonly LeafFigure[],
  engine: { readonly v8: string },
): { readonly ok: boolean; readonly lines: readonly string[] } {
  const gone = Object.keys(recorded.figures).filter((name) =>
    !measured.some((one) => one.name === name)
  );
  const lines = [
    ...measured.flatMap((now) => sentence(recorded.figures[now.name], now) ?? []),
    ...gone.map((name) => `${name}: recorded, but there is no such leaf; ${RECORD}`),
  ];
  const ok = lines.every((line) => line.startsWith("NOTE "));
  if (!ok && recorded.v8 !== engine.v8) {
    lines.push(
      `recorded with V8 ${recorded.v8}, this is ${engine.v8}: an engine may allocate otherwise; ` +
        `if the code has not changed, ${RECORD}`,
    );
  }
  return { ok, lines };
}
