/**
 * Watches whether a port really answers: probes it regularly, sets readiness, reopens a port that does not answer, and
 * gives it up if that does not help. `door_probe.ts` has the probe.
 */
import type { Env } from "../env.ts";
import { isOutOfFiles } from "../http1/file_reserve.ts";
import type { Logger } from "../logs/log.ts";
import type { HealthCheck } from "./ops.ts";

/** An answer did not come for a reason that says nothing about the port. */
export class Inconclusive extends Error {
  override readonly name = "Inconclusive";
}

interface DoorWatchOptions extends Pick<Env, "now" | "monotonic_ms"> {
  /** The URL of the port for people, for example "http://127.0.0.1:4000". */
  readonly url: string;
  /** Resolves when the port has answered; may reject with `Inconclusive`. */
  readonly ask: (timeout_ms: number) => Promise<void>;
  readonly reopen: () => Promise<void>;
  readonly onGone: (detail: string) => void;
  /** Interval of the probes, and their timeout, in ms. */
  readonly every_ms: number;
  /** A port without an answer for this long, although it was reopened, is given up; in ms. */
  readonly gone_ms: number;
  readonly log?: Logger | undefined;
}

/**
 * Consecutive unanswered probes after which the process is not ready: one may have met a pause, and a busy port should
 * get no more connections.
 */
const UNREADY_AT = 2;
/** Consecutive unanswered probes after which the port is reopened, at each multiple. */
const REOPEN_AT = 3;

/** The watch of one port; probes until it is closed. */
export class DoorWatch {
  readonly #options: DoorWatchOptions;
  readonly #timer: ReturnType<typeof setTimeout>;
  #closed = false;
  #asking = false;
  #unanswered = 0;
  /** When the last probe ended. */
  #asked_ms: number;
  /** How long there has been no answer, in ms, counting only time in which the process ran. */
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

  /** Consecutive unanswered probes. */
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
      // A process that stalled for so long has not read the answer either.
      const held_up = monotonic_ms() - asked_ms > 2 * every_ms;
      // A listener that cannot be opened again stays unready, and ends the process after `gone_ms`.
      if (!this.#closed && !held_up) await this.#noAnswer(error as Error).catch(() => {});
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

  async #noAnswer(error: Error): Promise<void> {
    const { url, log, reopen, onGone, gone_ms, every_ms, monotonic_ms } = this.#options;
    if (error instanceof Inconclusive) return;
    this.#failures++;
    // Without a descriptor no probe is possible, which says nothing about the port. The door handles that.
    if (isOutOfFiles(error)) return;
    this.#unanswered++;
    this.#problem = error.message;
    if (this.#unanswered >= UNREADY_AT || isRefused(error)) {
      if (this.#check.ok) log?.error("the listener does not answer", { url, error: this.#problem });
      this.#tell(false, `${url} does not answer: ${this.#problem}`);
    }
    // At most one interval: a stalled process sent no probe.
    this.#silent_ms += Math.min(monotonic_ms() - this.#asked_ms, 2 * every_ms);
    if (this.#silent_ms > gone_ms) {
      this.close();
      return onGone(`the listener at ${url} has died: ${this.#problem}`);
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
