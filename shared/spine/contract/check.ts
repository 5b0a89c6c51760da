/**
 * The checks of both engines before a call: subjects, headers and sizes, so that one engine never accepts what the
 * other refuses. Pure. Bad subjects and headers are programmer errors (`TypeError`): the ids of clients were checked
 * long before.
 */
import { ArqonError } from "@arqon/proto";
import { RecentMap } from "../../containers/recent_map.ts";
import type { SpineHeaders } from "./spine_message.ts";

const EXACT = /^[A-Za-z0-9_~:=$-]+(?:\.[A-Za-z0-9_~:=$-]+){0,31}$/;
const PATTERN =
  /^(?:[A-Za-z0-9_~:=$-]+|\*)(?:\.(?:[A-Za-z0-9_~:=$-]+|\*)){0,30}(?:\.(?:[A-Za-z0-9_~:=$-]+|\*|>))?$/;
const QUEUE = /^[A-Za-z0-9_-]{1,64}$/;
const HEADER_NAME = /^[!-9;-~]+$/;
// Printable, and no white space at the ends: NATS would strip it.
const HEADER_VALUE = /^(?:[^\p{Cc}\s](?:[^\p{Cc}]*[^\p{Cc}\s])?)?$/u;
/** Longest subject in bytes; NATS' own control line ends at 4 KiB. */
const SUBJECT_BYTES = 1_024;
/** Largest object of an object store, in bytes: four times what a policy module may have. */
export const OBJECT_BYTES_MAX = 4_194_304;
const OBJECT_NAME = /^[A-Za-z0-9_.=-]{1,128}$/;
const encoder = new TextEncoder();

/** Exact subjects that passed lately: a room gets many messages. */
const good_subjects = new RecentMap<string, true>(8_192);

/** Throws TypeError unless `subject` is one exact subject. The type says so already; this checks again at run time. */
export function assertSubject(subject: string): void {
  if (good_subjects.get(subject) === true) return;
  if (subject.length > SUBJECT_BYTES || !EXACT.test(subject)) {
    throw new TypeError(`not an exact subject: ${JSON.stringify(subject.slice(0, 256))}`);
  }
  good_subjects.set(subject, true);
}

/** Throws TypeError unless `pattern` is a subject, or one with the wildcards `*` and `>`. */
export function assertPattern(pattern: string): void {
  if (pattern.length > SUBJECT_BYTES || (pattern !== ">" && !PATTERN.test(pattern))) {
    throw new TypeError(`not a subject pattern: ${JSON.stringify(pattern.slice(0, 256))}`);
  }
}

/** Throws TypeError unless `queue` can name a queue group. */
export function assertQueue(queue: string): void {
  if (!QUEUE.test(queue)) throw new TypeError(`not a queue group: ${JSON.stringify(queue)}`);
}

/** True for a pattern with a wildcard in it. */
export function hasWildcard(pattern: string): boolean {
  return pattern.includes("*") || pattern.includes(">");
}

/** Whether a value is plain: printable ASCII, and no space at either end. */
function isPlainValue(value: string): boolean {
  const last = value.length - 1;
  for (let at = 0; at <= last; at++) {
    const code = value.charCodeAt(at);
    if (code > 0x7e || code < 0x21 && (code !== 0x20 || at === 0 || at === last)) return false;
  }
  return true;
}

/** Header names that passed: there are few, and each message has them. */
const good_names = new RecentMap<string, true>(64);

function isHeaderName(name: string): boolean {
  if (good_names.get(name) === true) return true;
  const good = HEADER_NAME.test(name);
  if (good) good_names.set(name, true);
  return good;
}

/** Bytes that the headers take on NATS' wire; 0 without any. Throws TypeError for an invalid header. */
export function headerBytes(headers: SpineHeaders | undefined): number {
  if (headers === undefined) return 0;
  let bytes = 0;
  for (const name in headers) {
    const value = headers[name] ?? "";
    const is_plain = isPlainValue(value);
    const is_value = is_plain || HEADER_VALUE.test(value) && value.isWellFormed();
    if (!is_value || !isHeaderName(name)) {
      throw new TypeError(`not a Spine header: ${JSON.stringify(name)}`);
    }
    bytes += name.length + (is_plain ? value.length : encoder.encode(value).length) + 4;
  }
  // "NATS/1.0\r\n" before and "\r\n" after, but only when there is a header at all.
  return bytes === 0 ? 0 : bytes + 12;
}

/** Throws `message-too-large` when payload and headers together exceed `max` bytes. */
export function assertSize(size_bytes: number, max: number): void {
  if (size_bytes <= max) return;
  throw new ArqonError("message-too-large", `${size_bytes} bytes; the Spine carries ${max}`);
}

/** Throws TypeError unless `name` can name an object. */
export function assertObjectName(name: string): void {
  if (!OBJECT_NAME.test(name)) {
    throw new TypeError(`not an object name: ${JSON.stringify(name.slice(0, 64))}`);
  }
}

/** When to retry a request without a responder, in ms: about how long a Brain needs to start or to take over. */
const NO_RESPONDER_RETRY_MS = 250;

/** The error of a request without a responder. */
export const noReply = (cause?: unknown): ArqonError =>
  new ArqonError("brain-unavailable", "", { retry_after_ms: NO_RESPONDER_RETRY_MS, cause });
