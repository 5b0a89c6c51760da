/** The headers and the query of a request for a stream, checked. Pure. */
import { isId } from "@arqon/proto";
import { decodedPart } from "../http/route.ts";
import { typeOf } from "./content.ts";
import { isToken } from "./offset.ts";
import type { ProducerTuple } from "./record.ts";
import { HEADER, invalid } from "./answers.ts";

/** The longest producer's name, and the longest `Stream-Seq`, in UTF-16 units. */
const NAME_UNITS_MAX = 128;
const WHOLE = /^(?:0|[1-9]\d*)$/;
/** A date, a time and a zone of RFC 3339. */
const TIME = /^(\d{4}-\d\d-\d\d)T\d\d:\d\d:\d\d(?:\.\d{1,20})?(?:Z|[+-]\d\d:\d\d)$/i;

/** The content of a PUT. */
export interface CreateRequest {
  readonly content_type: string | undefined;
  readonly ttl_seconds: number | undefined;
  readonly expires_at: string | undefined;
  readonly closed: boolean;
  /** `offset` is a token, undefined for the end of the source. */
  readonly fork: { room: string; offset: string | undefined; sub: number } | undefined;
}

/** The content of a POST, beside its body. */
export interface AppendRequest {
  readonly content_type: string | undefined;
  readonly seq: string | undefined;
  readonly close: boolean;
  readonly producer: ProducerTuple | undefined;
}

/** The content of a GET. `offset`: a token, "-1" or "now". */
export interface ReadRequest {
  readonly offset: string;
  readonly live: "long-poll" | "sse" | undefined;
  readonly cursor: string | undefined;
}

/** Whether the header closes the stream: only `true` does. */
function isClosed(headers: Headers): boolean {
  return headers.get(HEADER.closed)?.toLowerCase() === "true";
}

function whole(text: string, name: string): number {
  const value = WHOLE.test(text) ? Number(text) : NaN;
  if (!Number.isSafeInteger(value)) throw invalid(`${name} is not a whole number`);
  return value;
}

/** Whether it is an existing day with a time and a zone. `Date.parse` accepts more, and engines differ. */
function isTime(text: string): boolean {
  const [, day = ""] = TIME.exec(text) ?? [];
  if (day === "" || Number.isNaN(Date.parse(text))) return false;
  return new Date(`${day}T00:00:00Z`).toISOString().startsWith(day);
}

/** Parses the headers of a PUT. Throws 400. */
export function readCreate(headers: Headers): CreateRequest {
  const ttl = headers.get(HEADER.ttl);
  const expires_at = headers.get(HEADER.expires) ?? undefined;
  if (ttl !== null && expires_at !== undefined) {
    throw invalid("Stream-TTL and Stream-Expires-At exclude each other");
  }
  if (expires_at !== undefined && !isTime(expires_at)) {
    throw invalid("Stream-Expires-At is not an RFC 3339 time, such as 2030-01-01T00:00:00Z");
  }
  return {
    content_type: typeOf(headers.get("content-type")),
    ttl_seconds: ttl === null ? undefined : whole(ttl, "Stream-TTL"),
    expires_at,
    closed: isClosed(headers),
    fork: readFork(headers),
  };
}

function readFork(headers: Headers): CreateRequest["fork"] {
  const from = headers.get(HEADER.forked_from);
  const offset = headers.get(HEADER.fork_offset) ?? undefined;
  const sub = headers.get(HEADER.fork_sub_offset);
  if (offset !== undefined && !isToken(offset)) {
    throw invalid("Stream-Fork-Offset is not an offset");
  }
  if (from === null) {
    if (sub !== null) throw invalid("Stream-Fork-Sub-Offset without Stream-Forked-From");
    return undefined;
  }
  // A proxy may serve the streams at another path; the last part names the room.
  const room = decodedPart("room", from.split(/[?#]/)[0]!.split("/").at(-1) ?? "");
  if (!isId(room)) throw invalid("Stream-Forked-From names no room");
  return { room, offset, sub: sub === null ? 0 : whole(sub, "Stream-Fork-Sub-Offset") };
}

/** Reads the headers of a POST. Throws 400. */
export function readAppend(headers: Headers): AppendRequest {
  const seq = headers.get(HEADER.seq) ?? undefined;
  if (seq !== undefined && seq.length > NAME_UNITS_MAX) throw invalid("Stream-Seq is too long");
  return {
    content_type: typeOf(headers.get("content-type")),
    seq,
    close: isClosed(headers),
    producer: readProducer(headers),
  };
}

function readProducer(headers: Headers): ProducerTuple | undefined {
  const id = headers.get(HEADER.producer_id);
  const epoch = headers.get(HEADER.producer_epoch);
  const seq = headers.get(HEADER.producer_seq);
  if (id === null && epoch === null && seq === null) return undefined;
  if (id === null || epoch === null || seq === null) {
    throw invalid("Producer-Id, Producer-Epoch and Producer-Seq can only be used together");
  }
  if (id === "" || id.length > NAME_UNITS_MAX) {
    throw invalid(`Producer-Id: expected 1 to ${NAME_UNITS_MAX} characters`);
  }
  return { id, epoch: whole(epoch, "Producer-Epoch"), seq: whole(seq, "Producer-Seq") };
}

/** Reads the query of a GET. Throws 400. */
export function readRead(query: URLSearchParams): ReadRequest {
  const [offset, ...more] = query.getAll("offset");
  if (more.length > 0) throw invalid("more than one offset");
  if (offset !== undefined && offset !== "-1" && offset !== "now" && !isToken(offset)) {
    throw invalid("offset: expected -1, now, or the value of Stream-Next-Offset");
  }
  const live = query.get("live") ?? undefined;
  if (live !== undefined && live !== "long-poll" && live !== "sse") {
    throw invalid("live: expected long-poll or sse");
  }
  if (live !== undefined && offset === undefined) throw invalid(`live=${live} needs an offset`);
  return { offset: offset ?? "-1", live, cursor: query.get("cursor") ?? undefined };
}
