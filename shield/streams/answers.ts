/** Answers about streams: their headers, what proxies may cache, and the refusals of the protocol. */
import type { RoomClass } from "../../shared/rooms/room_class.ts";
import type { StreamRecord } from "./record.ts";
import { problemResponse } from "../../shared/problem.ts";

/**
 * Headers of every answer: a page that may read the answer may read its headers, and browsers must not guess its type.
 */
export const COMMON: Readonly<Record<string, string>> = {
  "x-content-type-options": "nosniff",
  "cross-origin-resource-policy": "cross-origin",
  "access-control-expose-headers": [
    "Stream-Next-Offset",
    "Stream-Cursor",
    "Stream-Up-To-Date",
    "Stream-Closed",
    "Stream-TTL",
    "Stream-Expires-At",
    "Stream-SSE-Data-Encoding",
    "Producer-Epoch",
    "Producer-Seq",
    "Producer-Expected-Seq",
    "Producer-Received-Seq",
    "ETag",
    "Location",
  ].join(", "),
};

/** Never cached. */
export const NO_STORE = "no-store";

/** Cached, but never used without revalidation. */
const ASK_AGAIN = "private, no-cache";
/** The protocol's recommendation, after `public` or `private`. */
const A_MINUTE = "max-age=60, stale-while-revalidate=300";

/**
 * What caches may do with a page of a room of that class. An empty page is always revalidated: it is how a reader finds
 * new messages, or that the stream is closed.
 */
export function cacheHeaders(
  { http_cache }: Pick<RoomClass, "http_cache">,
  has_messages: boolean,
): Record<string, string> {
  const kept = http_cache === "none" || !has_messages ? undefined : `${http_cache}, ${A_MINUTE}`;
  return {
    "cache-control": kept ?? ASK_AGAIN,
    // The answer in a shared cache does not depend on the reader.
    ...(kept !== undefined && http_cache === "public" ? {} : { vary: "authorization" }),
  };
}

/** A response with the common headers. */
export function answer(
  status: number,
  headers: Readonly<Record<string, string>>,
  body: Uint8Array | undefined = undefined,
): Response {
  const content = body === undefined ? null : body as Uint8Array<ArrayBuffer>;
  return new Response(content, { status, headers: { ...COMMON, ...headers } });
}

/** `Stream-Closed`, if set. */
export function closedHeader(closed: boolean): Record<string, string> {
  return closed ? { [HEADER.closed]: "true" } : {};
}

/** The expiry headers of HEAD. */
export function expiryHeaders({ ttl_seconds, expires_at }: StreamRecord): Record<string, string> {
  return {
    ...(ttl_seconds === undefined ? {} : { [HEADER.ttl]: String(ttl_seconds) }),
    ...(expires_at === undefined ? {} : { [HEADER.expires]: expires_at }),
  };
}

/**
 * The entity tag of a stream's range between two offsets, with the offsets of its messages: retention takes the first
 * ones, an erasure any.
 */
export function etagOf(
  { id }: Pick<StreamRecord, "id">,
  from: string,
  to: string,
  closed: boolean,
  offsets: readonly number[] = [],
): string {
  const shown = `${offsets[0] ?? ""}+${offsets.length}`;
  return `"${id}:${from}:${to}:${shown}${closed ? ":c" : ""}"`;
}

/**
 * Whether an `If-None-Match` names the tag (RFC 9110, 13.1.2): one of a list is enough, and so is a weak one, which
 * proxies make when they compress.
 */
export function isNamed(etag: string, if_none_match: string | null): boolean {
  if (if_none_match === null) return false;
  return if_none_match.trim() === "*" ||
    if_none_match.split(",").some((one) => one.trim().replace(/^W\//, "") === etag);
}

// The refusals of the streams protocol itself, each with its status and headers. They are not in `proto/errors.json`:
// sockets never get them. All other refusals are `ArqonError`s, as everywhere.

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
