/**
 * Pending commands. A Brain that is killed or disconnected loses the answers it owes: if commands wait for long, this
 * finds out whether a Brain is down, and retries commands with an id, which the room's owner applies once. A slow Brain
 * gets no retries. Independent of envelopes.
 */
import { ArqonError } from "@arqon/proto";
import type { Env } from "../../shared/env.ts";
import type { RequestOptions, Spine } from "../../shared/spine/contract/spine.ts";
import type { SpineMessage } from "../../shared/spine/contract/spine_message.ts";
import { processSubject, type Subject } from "../../shared/subjects/subject.ts";

interface CommandsUnderWayOptions extends Pick<Env, "monotonic_ms"> {
  /** The message that probes whether a Brain receives messages. */
  readonly hello: () => Uint8Array;
  readonly spine: Pick<Spine, "request">;
  /** The serving Brains, as far as this Shield knows. */
  readonly brains: () => readonly string[];
  readonly onGone: (brain_id: string) => void;
  /** Called for each retried command. */
  readonly onAgain: () => void;
}

/** How long an answer may take before Brains are probed, in ms; also the interval of the probes. */
const LATE_MS = 250;
/** How long a Brain is probed after it was last known to serve, in ms. */
const REMEMBERED_MS = 10_000;
/** The most retries of one command: each time another Brain is down. */
const AGAIN_MAX = 3;

interface Waiting {
  /** The time when it was last sent. */
  asked_ms: number;
  readonly again: () => void;
}

/** The pending commands of one Shield. */
export class CommandsUnderWay {
  readonly #options: CommandsUnderWayOptions;
  /** Commands that may be retried, oldest first. */
  readonly #waiting = new Set<Waiting>();
  /** Brains, and the time when they were last known to serve. */
  readonly #brains = new Map<string, number>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: CommandsUnderWayOptions) {
    this.#options = options;
  }

  /** Sends a command; with `has_id` it may be retried, and the first answer counts. Rejects as `Spine.request`. */
  async request(
    subject: Subject,
    payload: Uint8Array,
    options: RequestOptions,
    has_id: boolean,
  ): Promise<SpineMessage> {
    const { spine, monotonic_ms, onAgain } = this.#options;
    if (!has_id) return await spine.request(subject, payload, options);
    const deadline_ms = monotonic_ms() + options.timeout_ms;
    const { promise, resolve, reject } = Promise.withResolvers<SpineMessage>();
    let requested = 0;
    let open = 0;
    const ask = () => {
      requested++;
      open++;
      const timeout_ms = Math.max(1, deadline_ms - monotonic_ms());
      spine.request(subject, payload, { ...options, timeout_ms }).then(resolve, (error) => {
        // Another Brain may still answer.
        if (--open === 0) reject(error);
      });
    };
    const waiting: Waiting = {
      asked_ms: monotonic_ms(),
      again: () => {
        if (requested > AGAIN_MAX) return;
        waiting.asked_ms = monotonic_ms();
        onAgain();
        ask();
      },
    };
    ask();
    this.#waiting.add(waiting);
    this.#timer ??= setTimeout(() => this.#look(), LATE_MS);
    try {
      return await promise;
    } finally {
      this.#waiting.delete(waiting);
    }
  }

  #look(): void {
    this.#timer = undefined;
    const [oldest] = this.#waiting;
    if (oldest === undefined) return;
    this.#timer = setTimeout(() => this.#look(), LATE_MS);
    const now_ms = this.#options.monotonic_ms();
    for (const brain of this.#options.brains()) this.#brains.set(brain, now_ms);
    for (const [brain, seen_ms] of this.#brains) {
      if (now_ms - seen_ms > REMEMBERED_MS) this.#brains.delete(brain);
    }
    if (now_ms - oldest.asked_ms < LATE_MS) return;
    for (const brain of this.#brains.keys()) void this.#knock(brain, now_ms);
  }

  /** A hello has no answer: the probe only shows whether there is a subscriber. */
  async #knock(brain: string, now_ms: number): Promise<void> {
    const { spine, hello, onGone } = this.#options;
    try {
      await spine.request(processSubject("direct", brain), hello(), { timeout_ms: LATE_MS });
    } catch (error) {
      const is_gone = error instanceof ArqonError && error.reason === "brain-unavailable";
      if (!is_gone || !this.#brains.delete(brain)) return;
      onGone(brain);
      for (const waiting of this.#waiting) if (waiting.asked_ms <= now_ms) waiting.again();
    }
  }
}
