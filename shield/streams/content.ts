/**
 * The bytes of a stream by its content type: the conversion of a body to messages, and of messages to a body or an
 * event of an event stream. Pure.
 */
import { concat } from "../../shared/containers/concat.ts";
import { isJson as isJsonText, JSON_DEPTH_MAX, jsonItems, nestsTooDeep } from "@arqon/proto";
import { slice } from "../../shared/turns/slices.ts";
import { invalid, StreamRefusal } from "./answers.ts";

/** The default content type of a stream. */
export const DEFAULT_TYPE = "application/octet-stream";
/** The longest content type in UTF-16 units. */
const TYPE_UNITS_MAX = 200;

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** The content type in a request; undefined if it is not valid. */
export function typeOf(header: string | null): string | undefined {
  const text = (header ?? "").trim();
  return /^[\w.+-]+\/[\w.+-]+/.test(text) && text.length <= TYPE_UNITS_MAX ? text : undefined;
}

/** A content type without its parameters, in lower case. */
export function mediaOf(content_type: string): string {
  return (content_type.split(";")[0] ?? "").trim().toLowerCase();
}

/** Whether the stream keeps JSON messages apart. */
export function isJson(content_type: string): boolean {
  return mediaOf(content_type) === "application/json";
}

/** Whether events contain the bytes as text, where they are UTF-8; otherwise in base64. */
export function isText(content_type: string): boolean {
  return isJson(content_type) || mediaOf(content_type).startsWith("text/");
}

interface BodyLimits {
  readonly messages: number;
  /** Whether a body may have no message, as one that creates a stream. */
  readonly may_be_empty: boolean;
}

/**
 * The messages of a body: for JSON each item of an array, unchanged, or the one value; otherwise the unchanged bytes.
 * Throws 400 for invalid JSON, 413 for too many.
 */
export function messagesOf(
  body: Uint8Array,
  content_type: string,
  { messages, may_be_empty }: BodyLimits,
): Uint8Array[] {
  if (!isJson(content_type)) return body.length === 0 ? [] : [body];
  const text = jsonText(body);
  if (!text.startsWith("[")) return [encoder.encode(text)];
  const tooMany = () => new StreamRefusal("stream-too-large", `more than ${messages} messages`);
  const items = jsonItems(text, 0, messages, tooMany);
  if (items.length === 0 && !may_be_empty) throw invalid("an empty array");
  return items.map(({ start, end }) => encoder.encode(text.slice(start, end)));
}

function jsonText(body: Uint8Array): string {
  const text = textOf(body);
  if (text === undefined || !isJsonText(text)) throw invalid("the body is not JSON");
  if (!nestsTooDeep(text)) return text.trim();
  throw invalid(`the body is nested more than ${JSON_DEPTH_MAX} levels deep`);
}

/** The text of bytes; undefined: they are no whole characters of UTF-8. */
export function textOf(body: Uint8Array): string | undefined {
  try {
    return strict.decode(body);
  } catch {
    // Appends may split a character, and a type of text may have another charset.
    return undefined;
  }
}

/** The form of a message that is not JSON in a JSON stream: its bytes in base64, or null without bytes. */
function asJson(data: Uint8Array): string {
  if (data.length === 0) return "null";
  try {
    return jsonText(data);
  } catch {
    return JSON.stringify(data.toBase64());
  }
}

/** The body with these messages, made in the tenant's slices. */
export async function bodyOf(
  messages: readonly Uint8Array[],
  content_type: string,
  tenant_id: string,
): Promise<Uint8Array> {
  if (!isJson(content_type)) return concat(messages);
  const items: string[] = [];
  for (const message of messages) {
    await slice(tenant_id);
    items.push(asJson(message));
  }
  return encoder.encode(`[${items.join(",")}]`);
}

/** The first `size_bytes` of these messages, joined. */
export function prefixOf(messages: readonly Uint8Array[], size_bytes: number): Uint8Array {
  return concat(messages).subarray(0, size_bytes);
}

/** The characters of an event's data that are split without a pause: each may be a line. */
const PIECE_CHARS = 16_384;

/**
 * One event of an event stream, made in the tenant's slices. Line ends in its data become those of the format. Not the
 * writer of `sse/event_text.ts`: the protocol's conformance package reads `data:` without a space.
 */
export async function eventText(event: string, data: string, tenant_id: string): Promise<string> {
  // A reader removes one space, if there is one.
  let text = `event: ${event}\ndata:${data.startsWith(" ") ? " " : ""}`;
  for (let from = 0, to = 0; from < data.length; from = to) {
    if (from > 0) await slice(tenant_id);
    to = from + PIECE_CHARS;
    // A line end is in one piece, followed by a space.
    if (data[to - 1] === "\r" && data[to] === "\n") to++;
    if (/[\r\n]/.test(data[to - 1] ?? "") && data[to] === " ") to++;
    text += data.slice(from, to).replace(/(?:\r\n|\r|\n)( ?)/g, "\ndata:$1$1");
  }
  return `${text}\n\n`;
}
