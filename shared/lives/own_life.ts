/**
 * The life of this Shield or Brain: writes a mark every few seconds, with the progress of its components. A process
 * without such components writes none. `life.ts` evaluates marks.
 */
import { ClockSteps } from "../clock_steps.ts";
import type { Env } from "../env.ts";
import {
  encodeMark,
  endOf,
  isLater,
  type Life,
  lifeKey,
  type LifeKind,
  type LifePart,
  type PartMark,
  SILENT_MS,
  silentMs,
} from "./life.ts";
import type { Lives } from "./lives.ts";
import type { RegisteredShield } from "../cluster/cluster_asker.ts";

/** Interval between marks, in ms. */
const BEAT_MS = 5_000;
/** How long the end is retried, in ms, and the pause between attempts. */
const END_MS = 2_000;
const AGAIN_MS = 100;
/** Interval of the sweep of old lives, in ms. */
const SWEEP_MS = 6 * 3_600_000;

/** The process's parts that a life needs. */
interface OwnLifeOptions extends Pick<Env, "log" | "node_id" | "now" | "monotonic_ms"> {
  readonly lives: Lives;
  /** Its kind; absent: a Shield. */
  readonly kind?: LifeKind;
  /** The longest retention of any component's data, in ms. */
  readonly kept_ms: number;
}

/** The interface for a component to report its progress. */
export interface LivingPart {
  /** Writes the component's progress at once; otherwise the next mark does. */
  mark(): void;
  /** Reports the component's end; without `is_whole`, its last data are not written. */
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
  /** A mark is queued after the previous one. */
  #is_waiting = false;
  #is_over = false;
  /** The end has been stored. */
  #is_stored = false;
  /** Monotonic ms. */
  #swept_ms: number;
  /** Without a clock of the store, old lives are deleted only while this process's clock is trusted. */
  readonly #steps: ClockSteps;

  constructor(options: OwnLifeOptions) {
    this.#options = options;
    const { now, monotonic_ms } = options;
    this.began_ms = now();
    this.#swept_ms = monotonic_ms();
    this.#steps = new ClockSteps({ now, monotonic_ms });
  }

  /** Whether it writes marks: a component has started. */
  get has_marks(): boolean {
    return this.#beats !== undefined;
  }

  get node_id(): string {
    return this.#options.node_id;
  }

  get lives(): Lives {
    return this.#options.lives;
  }

  /** Registers a component. `until_ms`: up to when all its data are written, Unix ms. */
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

  /** Resolves once pending marks are written or have failed. */
  async idle(): Promise<void> {
    await this.#writing;
  }

  /** Stops writing marks, like a killed process. */
  stop(): void {
    clearInterval(this.#beats);
  }

  /** Records that the process ends in order: only this process can, so it retries for a while. Never rejects. */
  async end(timeout_ms: number = END_MS): Promise<void> {
    if (this.#beats === undefined) return;
    this.stop();
    this.#is_over = true;
    let is_late = false;
    const timer = setTimeout(() => is_late = true, timeout_ms);
    this.#mark();
    await this.#writing;
    while (!this.#is_stored && !is_late) {
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      this.#mark();
      await this.#writing;
    }
    clearTimeout(timer);
  }

  /** Writes a mark after the previous one, unless one is already queued. */
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
      this.#is_stored = mark.is_over;
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

/** The state of each Shield by its last life. Pure. */
export function registeredOf(all: readonly Life[], now_ms: number): RegisteredShield[] {
  const last = new Map<string, Life>();
  for (const life of all) {
    const before = last.get(life.node_id);
    if (before === undefined || isLater(life, before)) last.set(life.node_id, life);
  }
  return [...last.values()].map((life) => {
    const { node_id, is_over } = life;
    if (endOf(life, all, now_ms).how === "lives") return { node_id };
    return { node_id, over_for_ms: silentMs(life, now_ms) - (is_over ? 0 : SILENT_MS) };
  });
}

/** Reads them; none if this Shield itself writes no marks. Rejects with `spine-unavailable`. */
export async function readRegistered(
  life: Pick<OwnLife, "has_marks" | "lives">,
  now: () => number,
): Promise<RegisteredShield[]> {
  return life.has_marks ? registeredOf(await life.lives.all(), now()) : [];
}
