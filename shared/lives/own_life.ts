/**
 * The life of this Shield or Brain: says every few seconds that it is there, and how far the parts that write have come. Who
 * has no such part leaves no mark. What others make of it is `life.ts`.
 */
import { ClockSteps } from "../clock_steps.ts";
import type { Env } from "../env.ts";
import { encodeMark, lifeKey, type LifeKind, type LifePart, type PartMark } from "./life.ts";
import type { Lives } from "./lives.ts";

/** How often a Shield says that it lives, in ms. */
const BEAT_MS = 5_000;
/** How long the end waits until it is reported, in ms, and between two tries. */
const END_MS = 2_000;
const AGAIN_MS = 100;
/** How often lives that are too old are looked for, in ms. */
const SWEEP_MS = 6 * 3_600_000;

/** What a life needs of the process. */
export interface OwnLifeOptions extends Pick<Env, "log" | "node_id" | "now" | "monotonic_ms"> {
  readonly lives: Lives;
  /** What it is; absent: a Shield. */
  readonly kind?: LifeKind;
  /** Nothing that a part writes is older than that, in ms. */
  readonly kept_ms: number;
}

/** What a part tells its Shield's life. */
export interface LivingPart {
  /** Says at once how far the part has come; otherwise the next mark says it. */
  mark(): void;
  /** The part has ended; without `is_whole`, what it knew last is not written. */
  end(is_whole: boolean): void;
}

/** The life of this process. */
export class OwnLife {
  /** When it began, Unix ms. */
  readonly began_ms: number;
  readonly #options: OwnLifeOptions;
  readonly #parts = new Map<LifePart, () => PartMark>();
  #beats: ReturnType<typeof setInterval> | undefined;
  #writing: Promise<void> = Promise.resolve();
  /** A mark waits for the one before it. */
  #is_waiting = false;
  #is_over = false;
  /** That it is over is stored. */
  #is_told = false;
  /** Monotonic ms. */
  #swept_ms: number;
  /** Where the store has no clock, what this one calls old is deleted only while it can be believed. */
  readonly #steps: ClockSteps;

  constructor(options: OwnLifeOptions) {
    this.#options = options;
    const { now, monotonic_ms } = options;
    this.began_ms = now();
    this.#swept_ms = monotonic_ms();
    this.#steps = new ClockSteps({ now, monotonic_ms });
  }

  /** Whether it leaves any: a part of it has begun. */
  get has_marks(): boolean {
    return this.#beats !== undefined;
  }

  get node_id(): string {
    return this.#options.node_id;
  }

  /** All lives. */
  get lives(): Lives {
    return this.#options.lives;
  }

  /** From now on the end of that part is reported. `until_ms`: up to when all that it knew is written, Unix ms. */
  begin(part: LifePart, until_ms: () => number): LivingPart {
    this.#parts.set(part, () => ({ until_ms: Math.max(0, until_ms()), is_over: false }));
    if (this.#beats === undefined) {
      this.#beats = setInterval(() => this.#mark(), BEAT_MS);
      Deno.unrefTimer(this.#beats);
    }
    this.#mark();
    return {
      mark: () => this.#mark(),
      end: (is_whole) => {
        const last = { until_ms: is_whole ? this.#options.now() : until_ms(), is_over: is_whole };
        this.#parts.set(part, () => last);
      },
    };
  }

  /** Resolves once what was to be said by now is, or could not be. */
  async idle(): Promise<void> {
    await this.#writing;
  }

  /** Says nothing more, as a process that is killed. */
  stop(): void {
    clearInterval(this.#beats);
  }

  /** The process ends in order: nobody else can tell that, so it is tried for a while. Never rejects. */
  async end(timeout_ms: number = END_MS): Promise<void> {
    if (this.#beats === undefined) return;
    this.stop();
    this.#is_over = true;
    let is_late = false;
    const timer = setTimeout(() => is_late = true, timeout_ms);
    this.#mark();
    await this.#writing;
    while (!this.#is_told && !is_late) {
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      this.#mark();
      await this.#writing;
    }
    clearTimeout(timer);
  }

  /** Writes a mark behind the one before, unless one waits already. */
  #mark(): void {
    if (this.#is_waiting) return;
    this.#is_waiting = true;
    this.#writing = this.#writing.then(() => this.#write());
  }

  async #write(): Promise<void> {
    const { lives, node_id, kind, log, now } = this.#options;
    try {
      const bucket = await lives.bucket();
      this.#is_waiting = false;
      const parts = Object.fromEntries([...this.#parts].map(([part, of]) => [part, of()]));
      const mark = { mark_ms: now(), is_over: this.#is_over, parts };
      await bucket.put(lifeKey(node_id, this.began_ms, kind), encodeMark(mark));
      this.#is_told = mark.is_over;
      await this.#sweep();
    } catch (error) {
      this.#is_waiting = false;
      log.warn("the mark of this process was not written; it is tried again", { error });
    }
  }

  async #sweep(): Promise<void> {
    const { lives, kept_ms, kind, now, monotonic_ms } = this.#options;
    if (monotonic_ms() - this.#swept_ms < SWEEP_MS || !this.#steps.isBelieved()) return;
    this.#swept_ms = monotonic_ms();
    await lives.sweep(kept_ms, now(), kind);
  }
}
