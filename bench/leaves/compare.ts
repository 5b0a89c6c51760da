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
  readonly figures: readonly LeafFigure[];
}

/** The verdict on a leaf. `gone`: it is recorded and does not exist; `new`: it exists and is not recorded. */
export type Verdict = "same" | "worse" | "better" | "new" | "gone";

/** A leaf with its recorded and its measured figure. */
export interface Comparison {
  readonly name: string;
  readonly unit: LeafFigure["unit"];
  readonly before: number | undefined;
  readonly now: number | undefined;
  readonly verdict: Verdict;
}

/** Factor by which garbage may grow. */
const TOLERANCE_SHARE = 1.1;
const TOLERANCE_BYTES = 16;

/** The largest figure that is not worse than the record. */
export function mostAllowed({ unit, value }: LeafFigure): number {
  return unit === "units" ? value : value * TOLERANCE_SHARE + TOLERANCE_BYTES;
}

function verdictOf(before: LeafFigure, now: LeafFigure): Verdict {
  if (before.unit !== now.unit || now.value > mostAllowed(before)) return "worse";
  return before.value > mostAllowed(now) ? "better" : "same";
}

/** The comparisons of all leaves that are recorded or measured, in the order of the measured ones. */
export function compare(
  recorded: readonly LeafFigure[],
  measured: readonly LeafFigure[],
): Comparison[] {
  const compared = measured.map((now): Comparison => {
    const before = recorded.find(({ name }) => name === now.name);
    const { name, unit, value } = now;
    const verdict = before === undefined ? "new" : verdictOf(before, now);
    return { name, unit, before: before?.value, now: value, verdict };
  });
  const names = new Set(measured.map(({ name }) => name));
  const gone = recorded.filter(({ name }) => !names.has(name)).map((one): Comparison => (
    { name: one.name, unit: one.unit, before: one.value, now: undefined, verdict: "gone" }
  ));
  return [...compared, ...gone];
}

const shown = (value: number | undefined) => value === undefined ? "-" : String(value);

/** The table of the comparisons, one row for each leaf. */
export function renderComparisons(compared: readonly Comparison[]): string {
  return renderRows(
    ["leaf, of one operation", "recorded", "now", "", "ratio", ""],
    compared.map(({ name, unit, before, now, verdict }) => {
      const ratio = before === undefined || now === undefined || before === 0
        ? "-"
        : `${(now / before).toFixed(2)}x`;
      return [name, shown(before), shown(now), unit, ratio, verdict === "same" ? "" : verdict];
    }),
  );
}

const RECORD = "deno task bench leaves --record";

/** The judgement of the gate. */
export interface Judgement {
  readonly ok: boolean;
  readonly lines: readonly string[];
}

function sentence({ name, unit, before = 0, now = 0, verdict }: Comparison): string | undefined {
  switch (verdict) {
    case "same":
      return undefined;
    case "better":
      return `NOTE ${name}: ${now} ${unit} instead of ${before}; record that with ${RECORD}`;
    case "worse": {
      const most = Math.floor(mostAllowed({ name, unit, value: before }));
      const what = unit === "units"
        ? "the policy or the prices of instructions have changed"
        : "each message now makes more garbage";
      return `${name}: ${now} ${unit}, recorded ${before}, at most ${most}: ${what}. ` +
        `Find what allocates, or, if it is worth it, ${RECORD} and say why in the commit`;
    }
    case "new":
      return `${name}: ${now} ${unit} and no record; ${RECORD}`;
    case "gone":
      return `${name}: recorded, but there is no such leaf; ${RECORD}`;
  }
}

/** The judgement on the comparisons. Worse, new and gone leaves fail; better ones are worth a note. */
export function judge(
  recorded: Recorded,
  measured: readonly LeafFigure[],
  engine: { readonly v8: string },
): Judgement {
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
