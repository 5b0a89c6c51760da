/**
 * Up to where somebody may have purged messages of a stream, or removed them by lower limits. Nothing in the stream tells
 * that from what age and size remove in other rooms, so a process listens to the requests (`nats stream purge`, `nats
 * stream edit`, and our own trims), and knows nothing of the time before it listened. Pure; the subscription is in `nats_logs.ts`.
 */
import { matchesTokens } from "../../contract/subject_index.ts";

/** What JetStream is asked for on it, for the stream of the last token. Everybody who may subscribe receives it. */
export const PURGE_REQUESTS = "$JS.API.STREAM.PURGE";
/** The same for a change of its configuration. */
export const UPDATE_REQUESTS = "$JS.API.STREAM.UPDATE";
/** After so long the server has done what was asked, ms. */
const DONE_MS = 30_000;
/** Filters that are remembered; with more, everything counts as purged. */
const FILTERS_MAX = 1_000;
/** The filter for everything. */
export const ALL = ">";

const decoder = new TextDecoder();

/** The subjects that a request purges; `>` for all, and when it cannot be read. */
export function filterOf(request: Uint8Array): string {
  try {
    const { filter } = JSON.parse(decoder.decode(request));
    return typeof filter === "string" && filter !== "" ? filter : ALL;
  } catch {
    return ALL;
  }
}

/** What removes messages when it becomes less; 0 and less: no limit. */
const LIMITS = ["max_msgs_per_subject", "max_msgs", "max_bytes", "max_age"] as const;
/** The limits of a stream. */
export type StreamLimits = Readonly<Partial<Record<typeof LIMITS[number], number>>>;

const limitOf = (limit: unknown): number =>
  typeof limit === "number" && limit > 0 ? limit : Infinity;

/** Whether a request to change the stream lowers one of its limits, and when that cannot be determined. */
export function isLowered(request: Uint8Array, known: StreamLimits | undefined): boolean {
  try {
    const config = JSON.parse(decoder.decode(request)) as StreamLimits;
    return known === undefined || LIMITS.some((of) => limitOf(config[of]) < limitOf(known[of]));
  } catch {
    return true;
  }
}

/** Whether a subject without wildcards is one of those. */
export const isOf = (subject: string, filter: string): boolean =>
  matchesTokens(filter.split("."), subject.split("."));

interface Purge {
  /** The offset up to which it may have removed something. */
  readonly through: number;
  /** Monotonic, of the request. */
  readonly heard_ms: number;
}

/** The purges of one stream. */
export class Purges {
  /** By filter. */
  readonly #purges = new Map<string, Purge>();
  /** Before it nobody listened. */
  #since = Infinity;

  /** Takes note that from now on, when the log has given out `offset`, each purge is heard of. */
  listen(offset: number): void {
    this.#purges.clear();
    this.#since = offset;
  }

  /** What was heard does not count any longer: some of it may have been lost. */
  deafen(): void {
    this.listen(Infinity);
  }

  hear(filter: string, now_ms: number): void {
    if (this.#purges.size >= FILTERS_MAX && !this.#purges.has(filter)) {
      this.#purges.clear();
      filter = ALL;
    }
    this.#purges.set(filter, { through: Infinity, heard_ms: now_ms });
  }

  /** The log had given out `offset` when it was asked at `asked_ms`: what was purged well before lies below. */
  note(offset: number, asked_ms: number): void {
    for (const [filter, { through, heard_ms }] of this.#purges) {
      if (through !== Infinity || asked_ms - heard_ms < DONE_MS) continue;
      this.#purges.set(filter, { through: offset, heard_ms });
    }
  }

  /** Above this offset no purge has removed anything of the subject. */
  through(subject: string): number {
    let most = this.#since;
    for (const [filter, { through }] of this.#purges) {
      if (through > most && isOf(subject, filter)) most = through;
    }
    return most;
  }
}
