/**
 * Compressed messages (permessage-deflate, RFC 7692) without context takeover: a connection needs no memory for a
 * window, and one compressed message serves all its receivers. `node:zlib` compresses; `open.ts` decides what is
 * compressed, and for whom.
 */
import { constants, deflateRawSync, inflateRawSync } from "node:zlib";

interface DeflateAgreement {
  /** The value of Sec-WebSocket-Extensions in the answer. */
  readonly answer: string;
  /** The largest window that the client takes, as a power of two: 9 to 15. */
  readonly window_bits: number;
}

const NAME = "permessage-deflate";
const WINDOW_BITS_MAX = 15;
/** The smallest window, since zlib has no raw window of 2^8. */
const WINDOW_BITS_MIN = 9;
/** The level of compression: half of the bytes in a fifth of the time of the default level. */
const LEVEL = 1;
/** The end of every compressed message, which is not sent (RFC 7692, 7.2.1). */
const TAIL = new Uint8Array([0, 0, 0xff, 0xff]);
/** The most offers that are read; no client offers so many. */
const OFFERS_MAX = 16;

/** Takes the first acceptable offer of a Sec-WebSocket-Extensions header; undefined when there is none. */
export function agreeOnDeflate(offered: string | null): DeflateAgreement | undefined {
  for (const offer of (offered ?? "").split(",").slice(0, OFFERS_MAX)) {
    const [name = "", ...parameters] = offer.split(";").map((part) => part.trim());
    if (name.toLowerCase() !== NAME) continue;
    const agreement = agree(parameters);
    if (agreement !== undefined) return agreement;
  }
  return undefined;
}

function agree(parameters: readonly string[]): DeflateAgreement | undefined {
  const seen = new Set<string>();
  let window_bits = WINDOW_BITS_MAX;
  let limited = "";
  for (const parameter of parameters) {
    const [key = "", ...values] = parameter.split("=").map((part) => part.trim());
    const value = values.length === 0 ? undefined : values.join("=").replace(/^"(.*)"$/, "$1");
    if (seen.has(key)) return undefined;
    seen.add(key);
    if (key === "server_no_context_takeover" || key === "client_no_context_takeover") {
      if (value !== undefined) return undefined;
    } else if (key === "server_max_window_bits") {
      if (value === undefined || !isWindow(value) || Number(value) < WINDOW_BITS_MIN) {
        return undefined;
      }
      window_bits = Number(value);
      limited = `; server_max_window_bits=${window_bits}`;
    } else if (key === "client_max_window_bits") {
      if (value !== undefined && !isWindow(value)) return undefined;
    } else return undefined;
  }
  const answer = `${NAME}; server_no_context_takeover; client_no_context_takeover${limited}`;
  return { answer, window_bits };
}

function isWindow(text: string): boolean {
  return /^([89]|1[0-5])$/.test(text);
}

/** Compresses a message's bytes; undefined if the result is not shorter. */
export function deflate(
  body: Uint8Array,
  window_bits: number,
): Uint8Array<ArrayBuffer> | undefined {
  const finishFlush = constants.Z_SYNC_FLUSH;
  const whole = deflateRawSync(body, { finishFlush, windowBits: window_bits, level: LEVEL });
  const length = whole.length - TAIL.length;
  return length < body.length ? new Uint8Array(whole.subarray(0, length)) : undefined;
}

/** The result of decompression: the message's bytes, or the reason of its failure. */
type Inflated = Uint8Array<ArrayBuffer> | "too-large" | "malformed";

/** Decompresses a message. The result never has more than `bytes_max` bytes, for any size of the message. */
export function inflate(body: Uint8Array, bytes_max: number): Inflated {
  const whole = new Uint8Array(body.length + TAIL.length);
  whole.set(body);
  whole.set(TAIL, body.length);
  try {
    const finishFlush = constants.Z_SYNC_FLUSH;
    return new Uint8Array(inflateRawSync(whole, { finishFlush, maxOutputLength: bytes_max }));
  } catch (error) {
    const { code } = error as Error & { code?: string };
    return code === "ERR_BUFFER_TOO_LARGE" ? "too-large" : "malformed";
  }
}
