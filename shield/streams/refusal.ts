/**
 * The refusals of the streams protocol itself, each with its status and headers. They are not in `proto/errors.json`:
 * sockets never get them. All other refusals are `ArqonError`s, as everywhere.
 */
import { problemResponse } from "../../shared/problem.ts";

/** The names of the protocol's headers. */
export const HEADER = {
  next: "stream-next-offset",
  cursor: "stream-cursor",
  up_to_date: "stream-up-to-date",
  closed: "stream-closed",
  seq: "stream-seq",
  ttl: "stream-ttl",
  expires: "stream-expires-at",
  forked_from: "stream-forked-from",
  fork_offset: "stream-fork-offset",
  fork_sub_offset: "stream-fork-sub-offset",
  producer_id: "producer-id",
  producer_epoch: "producer-epoch",
  producer_seq: "producer-seq",
  expected_seq: "producer-expected-seq",
  received_seq: "producer-received-seq",
  sse_encoding: "stream-sse-data-encoding",
} as const;

/** Status and title of each reason. */
const REASONS = {
  "stream-invalid": [400, "Not a valid stream request"],
  "stream-epoch-sequence": [400, "A new epoch begins with sequence 0"],
  "stream-epoch-stale": [403, "A newer epoch of this producer has written to the stream"],
  "stream-not-found": [404, "There is no such stream"],
  "stream-not-durable": [405, "The room's class keeps no messages, or filters them"],
  "stream-exists": [409, "The stream exists with another configuration"],
  "stream-type-differs": [409, "The stream has another content type"],
  "stream-closed": [409, "The stream is closed"],
  "stream-sequence": [409, "The sequence is not the next one"],
  "stream-forked": [409, "The stream was deleted, and its forks still show it"],
  "stream-gone": [410, "The stream was deleted, and its forks still show it"],
  "stream-trimmed": [410, "Messages after this offset are no longer stored"],
  "stream-too-large": [413, "Too large"],
  "stream-too-many": [429, "Too many"],
} as const;

/** The names of these refusals. */
export type StreamReason = keyof typeof REASONS;

/** One refusal; `headers` go with its answer. */
export class StreamRefusal extends Error {
  readonly reason: StreamReason;
  readonly headers: Readonly<Record<string, string>>;

  constructor(reason: StreamReason, detail = "", headers: Record<string, string> = {}) {
    super(detail === "" ? REASONS[reason][1] : `${REASONS[reason][1]}: ${detail}`);
    this.reason = reason;
    this.headers = headers;
  }

  get code(): number {
    return REASONS[this.reason][0];
  }

  /** The answer: a problem body, as all refusals have. */
  response(): Response {
    const { code, reason, message, headers } = this;
    return problemResponse({ code, reason, message, retry_after_ms: 0 }, headers);
  }
}

/** A request that violates the protocol: 400. */
export function invalid(detail: string): StreamRefusal {
  return new StreamRefusal("stream-invalid", detail);
}
