/**
 * Reads and writes header blocks of NATS messages like nats.js (3.4.0), in half the time, but leaves out lines for which
 * it throws: whoever may publish could otherwise send messages that nobody answers or logs without a stack. Pure.
 */
import { MsgHdrsImpl } from "@nats-io/nats-core";
import type { SpineHeaders } from "../../contract/spine_message.ts";

/** A block of headers. */
export interface HeaderBlock {
  /** The first value of each name. */
  readonly headers: SpineHeaders;
  /** The status of an answer without a message, for example 503; else 0. */
  readonly code: number;
  readonly description: string;
}

/** Bytes of a block beside its lines. */
export const BLOCK_BYTES = 12;
/** The headers of a message that has none. */
export const NO_HEADERS: SpineHeaders = Object.freeze(Object.create(null));

const NO_BLOCK: HeaderBlock = { headers: NO_HEADERS, code: 0, description: "" };
const VERSION = "NATS/1.0";
const LINE_END = "\r\n";
const BLOCK_END = LINE_END + LINE_END;
const NAME = /^[!-9;-~]*$/;
const decoder = new TextDecoder();

/** Reads the lines from `from` on. */
function readLines(text: string, from: number): SpineHeaders {
  const headers: Record<string, string> = Object.create(null);
  while (from < text.length) {
    const found = text.indexOf(LINE_END, from);
    const end = found < 0 ? text.length : found;
    const colon = text.indexOf(":", from);
    if (colon >= from && colon < end) {
      const name = text.slice(from, colon);
      const value = text.slice(colon + 1, end).trim();
      if (NAME.test(name) && !value.includes("\r") && !value.includes("\n")) {
        headers[name] ??= value;
      }
    }
    from = end + LINE_END.length;
  }
  return headers;
}

/** The header name of a recent block with a single header, and the prefix of such a block. */
let lone_name = "";
let lone_start = "";
const SPACE = 0x20, TILDE = 0x7e;

/** Whether the bytes from `from` to `to` are this ASCII text. */
export function isText(bytes: Uint8Array, from: number, to: number, text: string): boolean {
  if (to - from !== text.length) return false;
  for (let index = 0; index < text.length; index++) {
    if (bytes[from + index] !== text.charCodeAt(index)) return false;
  }
  return true;
}

/** The headers of a block with only that name and a plain value; undefined for other blocks. */
function readLone(bytes: Uint8Array, from: number, to: number): SpineHeaders | undefined {
  const start = from + lone_start.length;
  const end = to - BLOCK_END.length;
  if (lone_start === "" || start >= end || !isText(bytes, from, start, lone_start)) {
    return undefined;
  }
  if (!isText(bytes, end, to, BLOCK_END)) return undefined;
  if (bytes[start] === SPACE || bytes[end - 1] === SPACE) return undefined;
  for (let at = start; at < end; at++) {
    if (bytes[at]! < SPACE || bytes[at]! > TILDE) return undefined;
  }
  const headers: Record<string, string> = Object.create(null);
  headers[lone_name] = decoder.decode(bytes.subarray(start, end));
  return headers;
}

/** Remembers the name of a block with a single header: most blocks have the same. */
function rememberLone(headers: SpineHeaders): void {
  const names = Object.keys(headers);
  const [name = ""] = names;
  if (names.length !== 1 || name === lone_name) return;
  lone_name = name;
  lone_start = `${VERSION}${LINE_END}${name}: `;
}

/** Reads the block between these bytes. */
export function readHeaders(bytes: Uint8Array, from: number, to: number): HeaderBlock {
  if (from >= to) return NO_BLOCK;
  const lone = readLone(bytes, from, to);
  if (lone !== undefined) return { headers: lone, code: 0, description: "" };
  const text = decoder.decode(bytes.subarray(from, to));
  const [first = ""] = text.split(LINE_END, 1);
  const headers = readLines(text, first.length + LINE_END.length);
  if (first === VERSION) {
    rememberLone(headers);
    return { headers, code: 0, description: "" };
  }
  const { code, description } = MsgHdrsImpl.decode(new TextEncoder().encode(first));
  return { headers, code, description };
}

/** The lines of a block; `headerBytes` counts their bytes, with `BLOCK_BYTES`. */
export function headerLines(headers: SpineHeaders | undefined): string {
  let lines = "";
  for (const name in headers) lines += `${name}: ${headers[name] ?? ""}${LINE_END}`;
  return lines;
}

/** A block of these lines; "" when there are none. */
export function headerBlock(lines: string): string {
  return lines === "" ? "" : `${VERSION}${LINE_END}${lines}${LINE_END}`;
}
