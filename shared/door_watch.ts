/**
 * Whether a port really answers: asked again and again, told to probes of readiness, opened anew when
 * it is deaf, given up when that does not help. How to ask is `door_probe.ts`.
 */
import { isOutOfFiles } from "./http1/acceptor.ts";
import type { Logger } from "./log.ts";
import type { HealthCheck } from "./ops.ts";

/** What a watch needs. */
export interface DoorWatchOptions {
  /** For people: "http://127.0.0.1:4000". */
  readonly url: string;
  /** Resolves when the port has answered. */
  readonly ask: (timeout_ms: number) => Promise<void>;
  readonly reopen: () => Promise<void>;
  readonly onGone: (detail: string) => void;
  /** Between two questions, and what an answer may take. */
  readonly every_ms: number;
  /** So long without an answer, though it was opened anew: it is gone. */
  readonly gone_ms: number;
  /** Unix ms. */
  readonly now: () => number;
  /** In ms, of a clock that nobody sets. */
  readonly monotonic_ms: () => number;
  readonly log?: Logger | undefined;
}

/** Unanswered in a row: one may have met a pause, and of a busy port no more is wanted. */
const UNREADY_AT = 2;
/** And then it is opened anew, at each multiple. */
const REOPEN_AT = 3;

/** Asks until it is closed. */
export class DoorWatch {
  readonly #options: DoorWatchOptions;
  readonly #timer: ReturnType<typeof setTimeout>;
  #closed = false;
  #asking = false;
  #unanswered = 0;
  #last_answer_ms: number;
  #problem = "";
  #failures = 0;
  #check: HealthCheck;

  constructor(options: DoorWatchOptions) {
    this.#options = options;
    this.#last_answer_ms = options.monotonic_ms();
    this.#check = { ok: true, since_ms: options.now(), detail: `${options.url} answers` };
    this.#timer = setInterval(() => void this.#round(), options.every_ms);
  }

  /** Questions that were not answered. */
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
      this.#asking = false;
    }
  }

  #answered(): void {
    const { url, log, monotonic_ms } = this.#options;
    this.#last_answer_ms = monotonic_ms();
    this.#unanswered = 0;
    if (!this.#check.ok) log?.info("the listener answers again", { url });
    this.#tell(true, `${url} answers`);
  }

  async #unheard(error: Error): Promise<void> {
    const { url, log, reopen, onGone, gone_ms, monotonic_ms } = this.#options;
    this.#failures++;
    this.#unanswered++;
    this.#problem = error.message;
    if (this.#unanswered >= UNREADY_AT || isRefused(error)) {
      if (this.#check.ok) log?.error("the listener does not answer", { url, error: this.#problem });
      this.#tell(false, `${url} does not answer: ${this.#problem}`);
    }
    // Without a file nobody can ask; whoever accepts knows what to do about it.
    if (isOutOfFiles(error)) return void (this.#last_answer_ms = monotonic_ms());
    if (monotonic_ms() - this.#last_answer_ms > gone_ms) {
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
