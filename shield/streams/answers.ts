/** Answers about streams: their headers, and what proxies may cache. */
import type { RoomClass } from "../../shared/rooms/room_class.ts";
import type { StreamRecord } from "./record.ts";
import { HEADER } from "./refusal.ts";

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
