/** Parses answers of a NATS server from the received bytes. Pure. */
import type { MessageFrame } from "./nats_frames.ts";
import { type HeaderBlock, isText, readHeaders } from "./nats_headers.ts";

/** An answer to a request of JetStream's API. */
export interface Answer extends HeaderBlock {
  /** The payload, a copy. */
  readonly payload: Uint8Array;
}

const NOBODY = 503;
const decoder = new TextDecoder();

/** Reads an answer. Throws what nats.js throws for bad headers. */
export function readAnswer(
  { bytes, headers_from, payload_from, payload_to }: MessageFrame,
): Answer {
  const { headers, code, description } = readHeaders(bytes, headers_from, payload_from);
  return { headers, code, description, payload: bytes.slice(payload_from, payload_to) };
}

/** True for the empty "no responders" answer of the server. */
export function isNobody({ payload, code }: Pick<Answer, "payload" | "code">): boolean {
  return payload.length === 0 && code === NOBODY;
}

/** As `isNobody`, for a frame. */
export function isFromNobody(frame: MessageFrame): boolean {
  const { bytes, headers_from, payload_from, payload_to } = frame;
  if (payload_from < payload_to || headers_from === payload_from) return false;
  return readHeaders(bytes, headers_from, payload_from).code === NOBODY;
}

/** JetStream's acknowledgement of a message that was published to a stream. */
export interface PubAck {
  readonly stream?: string;
  readonly seq?: number;
  readonly duplicate?: boolean;
  /** Number of messages in the batch that this message ended. */
  readonly count?: number;
  readonly error?: { readonly err_code?: number; readonly description?: string };
}

/** The beginning of the server's (2.15) plain acknowledgement: only the number differs. */
const ackStart = (stream: string) => `{"stream":"${stream}", "seq":`;

/** Reads the acknowledgement in the payload; undefined for any other payload. `stream` is the expected one. */
export function readPubAck(frame: MessageFrame, stream: string): PubAck | undefined {
  const { bytes, payload_from, payload_to } = frame;
  const start = ackStart(stream);
  const from = payload_from + start.length;
  const seq = digitsIn(bytes, from, payload_to - 1);
  if (seq > 0 && bytes[payload_to - 1] === 0x7d && isText(bytes, payload_from, from, start)) {
    return { stream, seq };
  }
  try {
    return JSON.parse(decoder.decode(bytes.subarray(payload_from, payload_to)));
  } catch {
    return undefined;
  }
}

/** The number in ASCII digits; 0 for anything but a positive JSON integer. */
function digitsIn(bytes: Uint8Array, from: number, to: number): number {
  if (from >= to || to - from > 15 || bytes[from] === 0x30) return 0;
  let value = 0;
  for (let at = from; at < to; at++) {
    const digit = (bytes[at] as number) - 0x30;
    if (digit < 0 || digit > 9) return 0;
    value = value * 10 + digit;
  }
  return value;
}
