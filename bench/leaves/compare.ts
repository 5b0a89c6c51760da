/**
 * The rule of the regression gate as a pure function: compares recorded and measured figures. Garbage may
 * grow by a tenth and 16 B; units of metered code must be exact.
 */
import { renderRows } from "../measure/table.ts";
import type { LeafFigure } from "./leaf.ts";

/** The content of `bench/leaves/recorded.json`. */
export interface Recorded {
  /** Version of Deno with which the figures were made. */
  readonly deno: string;
  readonly v8: string;
  /** The figure of each leaf, in its unit. */
  readonly figures: Readonly<Record<string, number>>;
}

/** A leaf with its recorded and its measured figure. `gone`: there is no such leaf; `new`: it has no record. */
export interface Comparison {
  readonly name: string;
  readonly unit: LeafFigure["unit"] | "";
  readonly before: number | undefined;
  readonly now: number | undefined;
  readonly verdict: "same" | "worse" | "better" | "new" | "gone";
}

/** Factor by which garbage may grow. */
const TOLERANCE_SHARE = 1.1;
const TOLERANCE_BYTES = 16;

/** The largest figure that is not worse than this record. */
export function mostAllowed({ unit, value }: Omit<LeafFigure, "name">): number {
  return unit === "units" ? value : value * TOLERANCE_SHARE + TOLERANCE_BYTES;
}

function verdictOf(before: number | undefined, { unit, value }: LeafFigure): Comparison["verdict"] {
  if (before === undefined) return "new";
  if (value > mostAllowed({ unit, value: before })) return "worse";
  return before > mostAllowed({ unit, value }) ? "better" : "same";
}

/** The comparisons of all leaves that are recorded or measured, in the order of the measured ones. */
export function compare(
  recorded: Recorded["figures"],
  measured: readonly LeafFigure[],
): Comparison[] {
  const compared = measured.map((now): Comparison => {
    const { name, unit, value } = now;
    const before = recorded[name];
    return { name, unit, before, now: value, verdict: verdictOf(before, now) };
  });
  const gone = Object.keys(recorded).filter((name) => !measured.some((one) => one.name === name));
  return [
    ...compared,
    ...gone.map((name): Comparison => (
      { name, unit: "", before: recorded[name], now: undefined, verdict: "gone" }
    )),
  ];
}

/** The table of the comparisons, one row for each leaf. */
export function renderComparisons(compared: readonly Comparison[]): string {
  return renderRows(
    ["leaf, of one operation", "recorded", "now", "", "ratio", ""],
    compared.map(({ name, unit, before, now, verdict }) => {
      const ratio = now === undefined || !before ? "-" : `${(now / before).toFixed(2)}x`;
      const shown = verdict === "same" ? "" : verdict;
      return [name, `${before ?? "-"}`, `${now ?? "-"}`, unit, ratio, shown];
    }),
  );
}

const RECORD = "deno task bench leaves --record";

function sentence({ name, unit, before = 0, now = 0, verdict }: Comparison): string | undefined {
  if (verdict === "same") return undefined;
  if (verdict === "better") {
    return `NOTE ${name}: ${now} ${unit} instead of ${before}; record that with ${RECORD}`;
  }
  if (verdict === "new") return `${name}: ${now} ${unit} and no record; ${RECORD}`;
  if (unit === "") return `${name}: recorded, but there is no such leaf; ${RECORD}`;
  const most = Math.floor(mostAllowed({ unit, value: before }));
  const what = unit === "units"
    ? "the policy or the prices of instructions have changed"
    : "each message now makes more garbage";
  return `${name}: ${now} ${unit}, recorded ${before}, at most ${most}: ${what}. ` +
    `Find what allocates, or, if it is worth it, ${RECORD} and say why in the commit`;
}

/** The judgement on the comparisons. Worse, new and gone leaves fail; better ones are worth a note. */
export function judge(
  recorded: Recorded,
  measured: readonly LeafFigure[],
  engine: { readonly v8: string },
): { readonly ok: boolean; readonly lines: readonly string[] } {
  const compared = compare(recorded.figures, measured);
  const ok = compared.every(({ verdict }) => verdict === "same" || verdict === "better");
  const lines = compared.map(sentence).filter((line) => line !== undefined);
  if (!ok && recorded.v8 !== engine.v8) {
    lines.push(
      `recorded with V8 ${recorded.v8}, this is ${engine.v8}: an engine may allocate otherwise; ` +
        `if the code has not changed, ${RECORD}`,
    );
  }
  return { ok, lines };
}
