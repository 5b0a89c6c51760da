/** Counts the deliveries of a load process by the stamps in the bodies. It knows no wire. */
import { Latencies } from "../../measure/histogram.ts";
import { STAMP_BYTES } from "../plans/plan.ts";
import type { Report } from "./words.ts";

/** The time in Unix ms with its fraction, the same for all processes of a machine. */
export const unixMs = () => performance.timeOrigin + performance.now();

const PROBLEMS_SHOWN = 5;

const stamp = new Float64Array(1);
const stamp_bytes = new Uint8Array(stamp.buffer);

/** The time in the stamp of a body. */
export function stampOf(body: Uint8Array): number {
  for (let at = 0; at < STAMP_BYTES; at++) stamp_bytes[at] = body[at]!;
  return stamp[0]!;
}

/** The content of a body: natural text, which a policy has to read. */
const TEXT = new TextEncoder().encode(
  "The quick brown fox jumps over the lazy dog; Füchse können springen, naïve ones too. ",
);

/** A body with a replaceable stamp; its other bytes never change. */
export class Body {
  readonly bytes: Uint8Array;
  readonly #stamp: Float64Array;

  constructor(size_bytes: number) {
    this.bytes = new Uint8Array(Math.max(STAMP_BYTES, size_bytes));
    for (let at = STAMP_BYTES; at < this.bytes.length; at++) {
      this.bytes[at] = TEXT[at % TEXT.length] ?? 0;
    }
    this.#stamp = new Float64Array(this.bytes.buffer, 0, 1);
  }

  stamped(due_ms: number): Uint8Array {
    this.#stamp[0] = due_ms;
    return this.bytes;
  }
}

/** The counts of one run; `begin` starts the next run. */
export class Measure {
  readonly #latencies = new Latencies();
  readonly #lateness = new Latencies();
  #from_ms = Infinity;
  #until_ms = Infinity;
  #received = 0;
  #delivered = 0;
  #problems: string[] = [];
  #problem_count = 0;

  get received(): number {
    return this.#received;
  }

  /** End of the measurement in Unix ms. */
  get until_ms(): number {
    return this.#until_ms;
  }

  /**
   * Starts a run that counts messages with due times between these times in Unix ms. Problems of the connection phase
   * are kept until they are reported.
   */
  begin(from_ms: number, until_ms: number): void {
    this.#from_ms = from_ms;
    this.#until_ms = until_ms;
    this.#received = 0;
    this.#delivered = 0;
    this.#latencies.reset();
    this.#lateness.reset();
  }

  sent(due_ms: number, now_ms: number): void {
    if (due_ms >= this.#from_ms && due_ms < this.#until_ms) this.#lateness.add(now_ms - due_ms);
  }

  arrived(due_ms: number, now_ms: number): void {
    this.#received++;
    if (due_ms >= this.#from_ms && due_ms < this.#until_ms) this.#latencies.add(now_ms - due_ms);
    if (now_ms >= this.#from_ms && now_ms < this.#until_ms) this.#delivered++;
  }

  problem(what: string): void {
    if (this.#problem_count++ < PROBLEMS_SHOWN) this.#problems.push(what);
  }

  report(): Report {
    const problems = this.#problems;
    const problem_count = this.#problem_count;
    [this.#problems, this.#problem_count] = [[], 0];
    return {
      received: this.#received,
      delivered: this.#delivered,
      latencies: this.#latencies.encode(),
      lateness: this.#lateness.encode(),
      problems,
      problem_count,
    };
  }
}
