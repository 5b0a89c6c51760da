/**
 * Tests periodically with a small write whether the Spine stores writes, for readiness, a gauge and the log. It has no
 * other effect: each caller's failed write is refused, and writes succeed again once there is room.
 */
import type { Env } from "../env.ts";
import { scrapedGauge } from "../metrics/metrics.ts";
import type { HealthCheck } from "../listeners/ops.ts";
import type { Spine } from "./contract/spine.ts";

const ASK_MS = 5_000;
const ASK_BYTES = 4_096;
/** Interval between tests while writes fail: recovery is detected within this time. */
const ASK_AGAIN_MS = 1_000;
/** Bytes that must fit again after a failure: otherwise writes would alternate between success and failure. */
const ASK_AGAIN_BYTES = 1_048_576;

/** The dependencies of a watch. */
export interface WriteWatchOptions extends Pick<Env, "registry" | "log" | "now"> {
  readonly spine: Pick<Spine, "proveStorage" | "status" | "onEvent">;
}

/** A running watch; dispose it to stop. */
export interface WriteWatch extends Disposable {
  /** Resolves after the first test, whatever its result. */
  readonly asked: Promise<void>;
  /** For readiness: not ok while writes fail, and before the first has succeeded. */
  readonly check: () => HealthCheck;
}

class Watch implements WriteWatch {
  readonly #options: WriteWatchOptions;
  readonly asked: Promise<void>;
  readonly #unlisten: () => void;
  #state: HealthCheck;
  #has_failed = false;
  #is_over = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: WriteWatchOptions) {
    this.#options = options;
    this.#state = { ok: false, since_ms: options.now(), detail: "not written yet" };
    this.#unlisten = options.spine.onEvent((event) => {
      if (event.type === "unstored" && this.#state.ok) this.#failed(event.error);
    });
    this.asked = this.#round();
  }

  readonly check = (): HealthCheck => this.#state;

  [Symbol.dispose](): void {
    this.#is_over = true;
    this.#unlisten();
    clearTimeout(this.#timer);
  }

  async #round(): Promise<void> {
    await this.#ask();
    if (!this.#is_over) this.#askIn(this.#state.ok ? ASK_MS : ASK_AGAIN_MS);
  }

  #askIn(wait_ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#round(), wait_ms);
    Deno.unrefTimer(this.#timer);
  }

  async #ask(): Promise<void> {
    const { spine, log } = this.#options;
    // Without a connection the storage is unknown; the disconnect is reported elsewhere.
    if (spine.status.state !== "connected") return;
    try {
      await spine.proveStorage(this.#has_failed ? ASK_AGAIN_BYTES : ASK_BYTES);
      if (this.#has_failed) log.info("the storage takes writes again");
      this.#has_failed = false;
      this.#turn(true, "writable");
    } catch (error) {
      if (!this.#is_over && spine.status.state === "connected") this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    const detail = error instanceof Error ? error.message : String(error);
    if (!this.#has_failed) this.#options.log.error("the storage takes no writes", { detail });
    // Not during a test, which sets its own timer.
    if (!this.#has_failed && this.#timer !== undefined) this.#askIn(ASK_AGAIN_MS);
    this.#has_failed = true;
    this.#turn(false, detail);
  }

  #turn(ok: boolean, detail: string): void {
    const since_ms = ok === this.#state.ok ? this.#state.since_ms : this.#options.now();
    this.#state = { ok, since_ms, detail };
  }
}

/**
 * Starts watching at once; runs one test at a time. A failed write of other callers counts at once, too. Its timer does
 * not keep the process alive.
 */
export function watchWrites(options: WriteWatchOptions): WriteWatch {
  const watch = new Watch(options);
  scrapedGauge(
    options.registry,
    "arqon_spine_storage_writable",
    "1 while the Spine stores what is written, 0 while writes fail.",
    () => Number(watch.check().ok),
  );
  return watch;
}
