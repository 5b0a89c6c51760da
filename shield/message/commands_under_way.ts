/**
 * Commands that wait for their answers. A Brain that is killed or cut off takes the answers with it that it owed: when
 * commands wait for long, this finds out whether a Brain does not listen any longer, and asks again whatever has an id,
 * which the room's owner applies once. A Brain that is only slow is not asked again. Knows no envelopes.
 */
import { ArqonError } from "@arqon/proto";
import type { Env } from "../../shared/env.ts";
import type { RequestOptions, Spine } from "../../shared/spine/contract/spine.ts";
import type { SpineMessage } from "../../shared/spine/contract/spine_message.ts";
import { processSubject, type Subject } from "../../shared/subjects/subject.ts";

/** What they need of the process. */
export interface CommandsUnderWayOptions extends Pick<Env, "monotonic_ms"> {
  /** What a Brain is sent to find out whether it listens. */
  readonly hello: () => Uint8Array;
  readonly spine: Pick<Spine, "request">;
  /** The Brains that serve, as far as is known. */
  readonly brains: () => readonly string[];
  /** Learns of a Brain that does not listen. */
  readonly onGone: (brain_id: string) => void;
  /** Learns of each command that is asked again. */
  readonly onAgain: () => void;
}

/** So long an answer may take before Brains are asked whether they are there, in ms; and so often they are asked. */
const LATE_MS = 250;
/** How long a Brain is asked that is no longer known to serve, in ms. */
const REMEMBERED_MS = 10_000;
/** How often one command is asked again: each time another Brain has gone. */
const AGAIN_MAX = 3;

interface Waiting {
  /** When it was asked last. */
  asked_ms: number;
  readonly again: () => void;
}

/** The commands of one Shield. */
export class CommandsUnderWay {
  readonly #options: CommandsUnderWayOptions;
  /** Those that may be asked again, the one that waits longest first. */
  readonly #waiting = new Set<Waiting>();
  /** Brains, and when they were last known to serve. */
  readonly #brains = new Map<string, number>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: CommandsUnderWayOptions) {
    this.#options = options;
  }

  /** Asks; with `has_id` maybe several times, and the first answer counts. Rejects as `Spine.request`. */
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
    let [asked, open] = [0, 0];
    const ask = () => {
      asked++;
      open++;
      const timeout_ms = Math.max(1, deadline_ms - monotonic_ms());
      spine.request(subject, payload, { ...options, timeout_ms }).then(resolve, (error) => {
        // Somebody else may still answer.
        if (--open === 0) reject(error);
      });
    };
    const waiting: Waiting = {
      asked_ms: monotonic_ms(),
      again: () => {
        if (asked > AGAIN_MAX) return;
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

  /** Looks whether anything waits for long. */
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

  /** Nobody answers a hello; that nobody receives it is what is to be found out. */
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
