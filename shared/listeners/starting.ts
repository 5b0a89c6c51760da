/**
 * The health of a process from its first moment: alive as soon as its ops port answers, and not ready
 * until what it starts can say so itself. Opens nothing; the listener is `listen.ts`.
 */
import type { HealthReport } from "./ops.ts";

/** Readiness of a process that starts, and then of what it has started. */
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

  /** What the start does from now on, for people: "connecting to NATS". */
  begin(phase: string): void {
    this.#phase = phase;
    this.#since_ms = this.#now();
  }

  /** The start is over: from now on `health` answers. */
  end(health: () => HealthReport): void {
    this.#started = health;
  }

  /** For the ops endpoint; while the start is under way one check, `start`, which is not ok. */
  readonly health = (): HealthReport => {
    if (this.#started !== undefined) return this.#started();
    const detail = `starting: ${this.#phase}`;
    return { checks: { start: { ok: false, since_ms: this.#since_ms, detail } } };
  };
}

/** What the first wait of a start is for. */
export function spinePhase({ nats }: { readonly nats?: object | undefined }): string {
  return nats === undefined ? "opening the embedded Spine" : "connecting to NATS";
}
