/**
 * Watches whether a port really answers. It asks again and again, tells probes of readiness, opens
 * the port anew when it does not answer, and gives it up when that does not help. How to ask is
 * `door_probe.ts`.
 */
import type { Env } from "../env.ts";
import { isOutOfFiles } from "../http1/file_reserve.ts";
import type { Logger } from "../logs/log.ts";
import type { HealthCheck } from "./ops.ts";

/** An answer did not come for a reason that says nothing of the port. */
export class Inconclusive extends Error {
  override readonly name = "Inconclusive";
}

/** What a watch needs. */
export interface DoorWatchOptions extends Pick<Env, "now" | "monotonic_ms"> {
  /** The URL of the port for people, for example "http://127.0.0.1:4000". */
  readonly url: string;
  /** Resolves when the port has answered; may reject with `Inconclusive`. */
  readonly ask: (timeout_ms: number) => Promise<void>;
  readonly reopen: () => Promise<void>;
  readonly onGone: (detail: string) => void;
  /** Time between two questions, and how long an answer may take, in ms. */
  readonly every_ms: number;
  /** After so long without an answer, though it was opened anew, the port is given up; in ms. */
  readonly gone_ms: number;
  readonly log?: Logger | undefined;
}

/**
 * Unanswered questions in a row after which the process is not ready: one may have met a pause, and
 * a busy port should get no more connections.
 */
const UNREADY_AT = 2;
/** Unanswered questions in a row after which the port is opened anew, at each multiple. */
const REOPEN_AT = 3;

/** The watch over one port; asks until it is closed. */
export class DoorWatch {
  readonly #options: DoorWatchOptions;
  readonly #timer: ReturnType<typeof setTimeout>;
  #closed = false;
  #asking = false;
  #unanswered = 0;
  /** When the last question was over. */
  #asked_ms: number;
  /**
   * How long there has been no answer, in ms, counting only time in which the process ran to ask
   * for one.
   */
  #silent_ms = 0;
  #problem = "";
  #failures = 0;
  #check: HealthCheck;

  constructor(options: DoorWatchOptions) {
    this.#options = options;
    this.#asked_ms = options.monotonic_ms();
    this.#check = { ok: true, since_ms: options.now(), detail: `${options.url} answers` };
    this.#timer = setInterval(() => void this.#round(), options.every_ms);
  }

  /** The number of questions that were not answered. */
  get failures(): number {
    return this.#failures;
  }

  check(): HealthCheck {
    return this.#check;
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
  }

  async #round(): Promise<void> {
    if (this.#asking) return;
    this.#asking = true;
    const { ask, every_ms, monotonic_ms } = this.#options;
    const asked_ms = monotonic_ms();
    try {
      await ask(every_ms);
      if (!this.#closed) this.#answered();
    } catch (error) {
      // A process that was held up for so long has not listened to the answer either.
      const held_up = monotonic_ms() - asked_ms > 2 * every_ms;
      if (!this.#closed && !held_up) await this.#unheard(error as Error).catch(() => {});
    } finally {
      this.#asked_ms = monotonic_ms();
      this.#asking = false;
    }
  }

  #answered(): void {
    const { url, log } = this.#options;
    this.#silent_ms = 0;
    this.#unanswered = 0;
    if (!this.#check.ok) log?.info("the listener answers again", { url });
    this.#tell(true, `${url} answers`);
  }

  async #unheard(error: Error): Promise<void> {
    const { url, log, reopen, onGone, gone_ms, every_ms, monotonic_ms } = this.#options;
    if (error instanceof Inconclusive) return;
    this.#failures++;
    // Without a file nobody can ask, which says nothing of the port. Whoever accepts knows what to do about it.
    if (isOutOfFiles(error)) return;
    this.#unanswered++;
    this.#problem = error.message;
    if (this.#unanswered >= UNREADY_AT || isRefused(error)) {
      if (this.#check.ok) log?.error("the listener does not answer", { url, error: this.#problem });
      this.#tell(false, `${url} does not answer: ${this.#problem}`);
    }
    // No more than from one question to the next: a stalled process has not asked.
    this.#silent_ms += Math.min(monotonic_ms() - this.#asked_ms, 2 * every_ms);
    if (this.#silent_ms > gone_ms) {
      this.close();
      return onGone(`the listener at ${url} is gone: ${this.#problem}`);
    }
    if (this.#unanswered % REOPEN_AT === 0) await reopen();
  }

  #tell(ok: boolean, detail: string): void {
    const { now } = this.#options;
    const since_ms = ok === this.#check.ok ? this.#check.since_ms : now();
    this.#check = { ok, since_ms, detail };
  }
}

function isRefused(error: Error): boolean {
  return "code" in error && error.code === "ECONNREFUSED";
}
