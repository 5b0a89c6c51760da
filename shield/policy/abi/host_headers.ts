/** The headers that a policy may add, and the conversion of text between guest and host. Pure. */

/** The most headers that one call may add. */
export const ADDED_HEADERS = 64;
/** The most bytes of names and values that one call may add. */
export const ADDED_HEADER_BYTES = 16_384;

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** Text without control characters but tabs; to look for one takes twice as long. */
const PLAIN = /^[\t\u0020-\u007e\u0080-\uffff]*$/;
// deno-lint-ignore no-control-regex -- all of ASCII
const ASCII = /^[\u0000-\u007f]*$/;
/** The most bytes in the name of a header or claim, whether it is asked for or added. */
export const NAME_BYTES = 256;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * Lower case in ASCII only, so that no other letter becomes one of a header's name. Linear time, without a call for
 * each letter.
 */
export function asciiLower(text: string): string {
  if (ASCII.test(text)) return text.toLowerCase();
  const bytes = encoder.encode(text);
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]!;
    if (byte >= 0x41 && byte <= 0x5a) bytes[at] = byte + 0x20;
  }
  return decoder.decode(bytes);
}

/** Whether a name is one of the Shield's own, which `stamp.ts` writes. */
function isReserved(lower_name: string): boolean {
  return lower_name.startsWith("x-arqon-") || lower_name === "x-twist-id" ||
    lower_name === "x-timestamp";
}

/**
 * The problem with a header that a policy adds, as a sentence; undefined when it may be added. Names
 * are tokens of RFC 9110, and values have no control character but a tab.
 */
export function headerProblem(name: string, value: string): string | undefined {
  if (!TOKEN.test(name) || name.length > NAME_BYTES) {
    return `a header name is 1 to ${NAME_BYTES} characters of an HTTP token`;
  }
  if (isReserved(asciiLower(name))) return `header "${name}" is the gateway's own`;
  if (!PLAIN.test(value)) return `the value of header "${name}" has a control character`;
  return undefined;
}

/** The first `max_bytes` of `bytes` as text, cut between characters; invalid UTF-8 becomes U+FFFD. */
export function cutUtf8(bytes: Uint8Array, max_bytes: number): string {
  if (bytes.length <= max_bytes) return decoder.decode(bytes);
  let end = max_bytes;
  // A continuation byte at the cut belongs to a character that begins before it.
  for (let step = 0; step < 3 && (bytes[end]! & 0xc0) === 0x80; step++) end--;
  return decoder.decode(bytes.subarray(0, end));
}
