// Decisions of one policy over time, counted from lines of the journal, and the result file of a replay.
// Pure; `journal_lines.js` reads the lines.
import { isHole, timeOf } from "./journal_lines.js";

/** The possible results of a policy call, in the order of a chart. */
export const ENDINGS = ["allowed", "refused", "faults"];
const POINTS = 60;

/** The policy's decision in a record; undefined if it was not called. */
export function endingOf(line, policy) {
  const found = line.policies?.find(({ name }) => name === policy);
  if (found === undefined) return undefined;
  if (found.fault !== null) return "faults";
  return found.allowed ? "allowed" : "refused";
}

/** Counts of a policy's decisions in equal intervals of a window; times are Unix ms. */
export class DecisionCounts {
  #policy;
  #from_ms;
  #interval_ms;
  #counts;
  /** Everything up to this time was read. */
  #read_ms;
  /** All decisions, by result. */
  totals = Object.fromEntries(ENDINGS.map((ending) => [ending, 0]));
  /** Missing records by the holes' counts, and the number of holes without a count. */
  missing = 0;
  unknown_holes = 0;

  constructor({ policy, from_ms, until_ms }) {
    this.#policy = policy;
    this.#from_ms = from_ms;
    this.#interval_ms = (until_ms - from_ms) / POINTS;
    this.#read_ms = from_ms;
    this.#counts = ENDINGS.map(() => new Array(POINTS).fill(0));
  }

  add(line) {
    this.#read_ms = Math.max(this.#read_ms, timeOf(line));
    if (isHole(line)) {
      if (typeof line.hole.records === "number") this.missing += line.hole.records;
      else this.unknown_holes++;
      return;
    }
    const ending = endingOf(line, this.#policy);
    if (ending === undefined) return;
    this.totals[ending]++;
    const point = Math.floor((line.time_ms - this.#from_ms) / this.#interval_ms);
    // Clocks of Shields differ: a decision slightly outside the window counts at its edge.
    this.#counts[ENDINGS.indexOf(ending)][Math.min(Math.max(point, 0), POINTS - 1)]++;
  }

  get total() {
    return ENDINGS.reduce((sum, ending) => sum + this.totals[ending], 0);
  }

  get interval_ms() {
    return this.#interval_ms;
  }

  /**
   * The points of a chart: the middle of each interval, and the counts. `is_whole`: all of the window was read;
   * otherwise intervals after the last line have no figure.
   */
  chart(is_whole) {
    const times = Array.from(
      { length: POINTS },
      (_none, at) => this.#from_ms + (at + 0.5) * this.#interval_ms,
    );
    const last = Math.floor((this.#read_ms - this.#from_ms) / this.#interval_ms);
    const known = (counts) =>
      counts.map((value, at) => (is_whole || at <= last ? value : undefined));
    const series = ENDINGS.map((name, at) => ({ name, values: known(this.#counts[at]) }));
    return { times, series };
  }
}

/** The kinds of flips: their names in a result, and as text. */
export const KINDS = [
  ["to_refused", "now refused"],
  ["to_allowed", "now allowed"],
  ["changed", "another answer"],
];

/**
 * Parses the output of `arq policy replay --json`: its counts, and its flips as rows `{kind, ...sample}`. Throws an
 * Error with a readable message for any other text.
 */
export function replayResult(text) {
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    throw new Error("This is not JSON. Choose the output of arq policy replay --json.");
  }
  const { candidate, policy } = answer ?? {};
  const is_result = typeof policy === "string" && typeof candidate?.repeated === "number" &&
    KINDS.every(([name]) => Array.isArray(candidate.samples?.[name]));
  if (!is_result) throw new Error("This is not a result of arq policy replay --json.");
  const rows = KINDS.flatMap(([name, kind]) =>
    candidate.samples[name].map((sample) => ({ ...sample, kind }))
  );
  return { answer, rows };
}
