/**
 * Measures what the schema step adds to a message of each size and edition, for comparison with protobuf-es,
 * which decodes the same bytes in the same turn. `governance_validate_child.ts` measures.
 */
import { type Edition, EDITIONS, sizeName, SIZES } from "./governance_feed.ts";
import type { CallTimes } from "./governance_timing.ts";
import type { ValidatePlan, ValidateRound } from "./governance_validate_child.ts";
import { runProgram } from "../measure/program.ts";
import { median } from "../measure/statistics.ts";
import { renderRows } from "../measure/table.ts";

/** The figures of one size under one edition: medians over the rounds, in µs. */
export interface ValidateResult {
  readonly edition: Edition;
  readonly size_bytes: number;
  /** Number of calls in all rounds. */
  readonly calls: number;
  /** Time of the gate, which is what a message costs more. */
  readonly p50_us: number;
  readonly p99_us: number;
  /** The p99 of the round that was disturbed least. */
  readonly least_p99_us: number;
  /** Time of the validation without the gate around it. */
  readonly validate_p50_us: number;
  readonly decode_p50_us: number;
  readonly decode_p99_us: number;
  /** Ratio of the gate to decoding: median of the rounds' ratios of p50. */
  readonly ratio: number;
}

/** Names of the editions in tables. */
export const EDITION_NAMES: Readonly<Record<Edition, string>> = {
  none: "structure",
  standard: "with rules",
  cel: "with rules, pattern, CEL",
};

function resultOf(rounds: readonly ValidateRound[], edition: Edition, size_bytes: number) {
  const mine = rounds.filter((one) => one.edition === edition && one.size_bytes === size_bytes);
  const of = (value: (round: ValidateRound) => number) => median(mine.map(value));
  const p99s = mine.map(({ gate }) => gate.p99_us);
  const ratio = (one: CallTimes, other: CallTimes) => one.p50_us / other.p50_us;
  return {
    edition,
    size_bytes,
    calls: mine.reduce((sum, { gate }) => sum + gate.calls, 0),
    p50_us: of(({ gate }) => gate.p50_us),
    p99_us: median(p99s),
    least_p99_us: Math.min(...p99s),
    validate_p50_us: of(({ validate }) => validate.p50_us),
    decode_p50_us: of(({ decode }) => decode.p50_us),
    decode_p99_us: of(({ decode }) => decode.p99_us),
    ratio: of(({ gate, decode }) => ratio(gate, decode)),
  };
}

/** Measures every size under every edition, in turns. */
export async function measureValidate(rounds: number): Promise<ValidateResult[]> {
  console.error("validation ...");
  const plan: ValidatePlan = { rounds, for_ms: 40 };
  const results: ValidateRound[] = await runProgram(
    "bench/governance/governance_validate_child.ts",
    ["--allow-read"],
    [JSON.stringify(plan)],
  );
  return EDITIONS.flatMap((edition) => SIZES.map((size) => resultOf(results, edition, size)));
}

/** The table of the results, one row for each size and edition. */
export function renderValidate(results: readonly ValidateResult[]): string {
  const head = [
    ...["schema step, added to a message", "size", "p50 µs", "p99", "least p99"],
    ...["validate p50", "decode p50", "decode p99", "ratio p50"],
  ];
  return renderRows(
    head,
    results.map((one) => [
      EDITION_NAMES[one.edition],
      sizeName(one.size_bytes),
      ...[
        one.p50_us,
        one.p99_us,
        one.least_p99_us,
        one.validate_p50_us,
        one.decode_p50_us,
        one.decode_p99_us,
      ].map((us) => us.toFixed(us < 100 ? 1 : 0)),
      `${one.ratio.toFixed(2)}x`,
    ]),
  );
}
