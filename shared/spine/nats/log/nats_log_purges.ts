/**
 * The offsets up to which purges or lower limits may have removed messages of a stream. The stream does not distinguish
 * that from removal by age and size in other rooms, so a process subscribes to the requests (`nats stream purge`, `nats
 * stream edit`, and our own trims); earlier requests are unknown. Pure; the subscription is in `nats_logs.ts`.
 */
import { matchesTokens } from "../../contract/subject_index.ts";

/** The subject of purge requests; the last token is the stream. Any permitted subscriber receives them. */
export const PURGE_REQUESTS = "$JS.API.STREAM.PURGE";
/** The same for a change of its configuration. */
export const UPDATE_REQUESTS = "$JS.API.STREAM.UPDATE";
/** After this time the server has completed a request, ms. */
const DONE_MS = 30_000;
/** The most filters that are remembered; above, everything counts as purged. */
const FILTERS_MAX = 1_000;
/** The filter for everything. */
export const ALL = ">";

const decoder = new TextDecoder();

/** The subjects that a request purges; `>` for all, and for an unreadable request. */
export function filterOf(request: Uint8Array): string {
  try {
    const { filter } = JSON.parse(decoder.decode(request));
    return typeof filter === "string" && filter !== "" ? filter : ALL;
  } catch {
    return ALL;
  }
}

/** The limits that remove messages when lowered; 0 and less: no limit. */
const LIMITS = ["max_msgs_per_subject", "max_msgs", "max_bytes", "max_age"] as const;
/** The limits of a stream. */
export type StreamLimits = Readonly<Partial<Record<typeof LIMITS[number], number>>>;

const limitOf = (limit: unknown): number =>
  typeof limit === "number" && limit > 0 ? limit : Infinity;

/** Whether a request to change the stream lowers one of its limits; true also if unknown. */
export function isLowered(request: Uint8Array, known: StreamLimits | undefined): boolean {
  try {
    const config = JSON.parse(decoder.decode(request)) as StreamLimits;
    return known === undefined || LIMITS.some((of) => limitOf(config[of]) < limitOf(known[of]));
  } catch {
    return true;
  }
}

/** Whether a subject without wildcards matches the filter. */
export const isOf = (subject: string, filter: string): boolean =>
  matchesTokens(filter.split("."), subject.split("."));

interface Purge {
  /** The offset up to which it may have removed messages. */
  readonly through: number;
  /** Monotonic time of the request. */
  readonly noticed_ms: number;
}

/** The purges of one stream. */
export class Purges {
  /** By filter. */
  readonly #purges = new Map<string, Purge>();
  /** The offset from which purges are observed. */
  #since = Infinity;

  /** Records that every purge is observed from now on; the log's highest offset is `offset`. */
  listen(offset: number): void {
    // One that has just been requested may still be under way.
    for (const [filter, { through }] of this.#purges) {
      if (through <= offset) this.#purges.delete(filter);
    }
    this.#since = offset;
  }

  /** Discards the observations: some requests may have been missed. */
  deafen(): void {
    this.listen(Infinity);
  }

  noteRequest(filter: string, now_ms: number): void {
    if (this.#purges.size >= FILTERS_MAX && !this.#purges.has(filter)) {
      this.#purges.clear();
      filter = ALL;
    }
    this.#purges.set(filter, { through: Infinity, noticed_ms: now_ms });
  }

  /** Records the log's highest offset at `asked_ms`: purges well before that removed only lower offsets. */
  note(offset: number, asked_ms: number): void {
    for (const [filter, { through, noticed_ms }] of this.#purges) {
      if (through !== Infinity || asked_ms - noticed_ms < DONE_MS) continue;
      this.#purges.set(filter, { through: offset, noticed_ms });
    }
  }

  /** The offset above which no purge has removed messages of the subject. */
  through(subject: string): number {
    let most = this.#since;
    for (const [filter, { through }] of this.#purges) {
      if (through > most && isOf(subject, filter)) most = through;
    }
    return most;
  }
}
