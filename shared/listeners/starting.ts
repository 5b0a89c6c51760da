/**
 * The health of a process from its first moment: alive as soon as its ops port answers, and not ready until the started
 * parts report for themselves. Opens nothing; `listen.ts` has the listener.
 */
import type { HealthReport } from "./ops.ts";

/** Readiness of a starting process, and then of its parts. */
export class Starting {
  readonly #now: () => number;
  #phase = "";
  #since_ms: number;
  #started: (() => HealthReport) | undefined;

  /** `now`: Unix ms. */
  constructor(now: () => number) {
    this.#now = now;
    this.#since_ms = now();
  }

  /** The current phase of the start, for people: "connecting to NATS". */
  begin(phase: string): void {
    this.#phase = phase;
    this.#since_ms = this.#now();
  }

  /** The start is complete: from now on `health` answers. */
  end(health: () => HealthReport): void {
    this.#started = health;
  }

  /** True until `end`. */
  readonly isGoingOn = (): boolean => this.#started === undefined;

  /** For the ops endpoint; during the start one check, `start`, which is not ok. */
  readonly health = (): HealthReport => {
    if (this.#started !== undefined) return this.#started();
    const detail = `starting: ${this.#phase}`;
    return { checks: { start: { ok: false, since_ms: this.#since_ms, detail } } };
  };
}

/** The first phase of a start. */
export function spinePhase({ nats }: { readonly nats?: object | undefined }): string {
  return nats === undefined ? "opening the embedded Spine" : "connecting to NATS";
}
