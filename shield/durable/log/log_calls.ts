/**
 * One room's requests to its log, retried until they are answered or no longer needed: while the Spine is unreachable,
 * a room waits. Nothing here rejects.
 */
import type { DurableLog, LogPage, RoomHead } from "../../../shared/spine/contract/durable_log.ts";
import type { Logger } from "../../../shared/logs/log.ts";
import type { DurableStats, ReadPurpose } from "./stats.ts";

/** The limits of any page that a room reads. */
const PAGE = { limit: 1_000, max_bytes: 4_194_304 };
const BACKOFF_MS = 50;
const BACKOFF_MAX_MS = 2_000;

interface LogCallsOptions {
  readonly room_id: string;
  readonly log: DurableLog;
  readonly clock: RetryClock;
  readonly stats: Pick<DurableStats, "read" | "failed">;
  readonly logger: Logger;
  /** Called when a request has failed and will be repeated. */
  onFailure(error: unknown): void;
}

/** The requests of one room. */
export class LogCalls {
  readonly #options: LogCallsOptions;
  readonly #wakers = new Set<() => void>();
  #closed = false;

  constructor(options: LogCallsOptions) {
    this.#options = options;
  }

  /** The head of the room; undefined if `close` came before the answer. */
  head(purpose: ReadPurpose): Promise<RoomHead | undefined> {
    return this.#ask(purpose, (log, room_id) => log.head(room_id));
  }

  /** The room's oldest message; undefined if `close` came before the answer. */
  oldest(purpose: ReadPurpose): Promise<number | undefined> {
    return this.#ask(purpose, (log, room_id) => log.oldest(room_id));
  }

  /** The newest erased offset; undefined if `close` came before the answer. */
  erased(purpose: ReadPurpose): Promise<number | undefined> {
    return this.#ask(purpose, (log, room_id) => log.erased(room_id));
  }

  /** A page of the messages after `after`; undefined if `close` came before the answer. */
  read(purpose: ReadPurpose, after: number): Promise<LogPage | undefined> {
    return this.#ask(purpose, (log, room_id) => log.read(room_id, { after, ...PAGE }));
  }

  async #ask<T>(
    purpose: ReadPurpose,
    question: (log: DurableLog, room_id: string) => Promise<T>,
  ): Promise<T | undefined> {
    const { log, room_id, stats } = this.#options;
    for (let attempt = 0; !this.#closed; attempt++) {
      stats.read(purpose);
      try {
        const answer = await question(log, room_id);
        return this.#closed ? undefined : answer;
      } catch (error) {
        if (this.#closed) return undefined;
        this.#onFailure(purpose, error);
        await this.pause(Math.min(BACKOFF_MS * 2 ** Math.min(attempt, 10), BACKOFF_MAX_MS));
      }
    }
    return undefined;
  }

  /** Waits between half the time and all of it, so that rooms do not retry in step. `close` ends the wait. */
  pause(ms: number): Promise<void> {
    if (this.#closed) return Promise.resolve();
    const { clock } = this.#options;
    return new Promise((resolve) => {
      const wake = () => {
        cancel();
        this.#wakers.delete(wake);
        resolve();
      };
      this.#wakers.add(wake);
      const cancel = clock.after(ms * (0.5 + clock.random() / 2), wake);
    });
  }

  close(): void {
    this.#closed = true;
    for (const wake of [...this.#wakers]) wake();
  }

  #onFailure(purpose: ReadPurpose, error: unknown): void {
    const { stats, logger, onFailure } = this.#options;
    stats.failed(purpose);
    // `logs.ts` reports it to operators, once per tenant.
    logger.debug("asking the log failed", { purpose, error });
    onFailure(error);
  }
}

/** The time source of waits and retries. */
export interface RetryClock {
  /** Monotonic ms. */
  now(): number;
  /** Calls `run` once after `delay_ms`, unless the returned function is called before then. */
  after(delay_ms: number, run: () => void): () => void;
  /** A random number in [0, 1). */
  random(): number;
}

/** The clock of this process. */
export const SYSTEM_CLOCK: RetryClock = {
  now: () => performance.now(),
  after(delay_ms, run) {
    const timer = setTimeout(run, delay_ms);
    return () => clearTimeout(timer);
  },
  random: () => Math.random(),
};
