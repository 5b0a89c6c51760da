/** A durable room's messages from the Spine, live or read. Their envelopes are not decoded here. */
import {
  LOG_OFFSET_HEADER,
  LOG_PREVIOUS_HEADER,
  LOG_STREAM_HEADER,
  LOG_TIME_HEADER,
} from "../../../shared/spine/contract/durable_log.ts";
import type { DurableLog, LogMessage } from "../../../shared/spine/contract/durable_log.ts";
import type { SpineMessage } from "../../../shared/spine/contract/spine_message.ts";
import { ORIGIN_HEADER } from "../../../shared/records/caller_headers.ts";
import { readable } from "../../../shared/spine/contract/read_page.ts";
import type { StoredMessage } from "./timeline.ts";

/** A live message on `in`, after its log has stored it. */
export interface LiveMessage extends StoredMessage {
  /** The incarnation of the log that assigned its offset. */
  readonly stream: string;
  /** The offset of the message before it that the log then had of the room; 0: none. */
  readonly previous: number;
}

function isOffset(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

/** Reads a live message; undefined if its headers are not those of a log. */
export function readLive(
  { payload, headers }: SpineMessage,
  log: Pick<DurableLog, "lifeOf">,
): LiveMessage | undefined {
  const stream = headers[LOG_STREAM_HEADER] ?? "";
  const offset = Number(headers[LOG_OFFSET_HEADER] ?? NaN);
  const previous = Number(headers[LOG_PREVIOUS_HEADER] ?? NaN);
  const time_ms = Date.parse(headers[LOG_TIME_HEADER] ?? "");
  if (stream === "" || !isOffset(offset) || !isOffset(previous) || Number.isNaN(time_ms)) {
    return undefined;
  }
  if (previous >= offset) return undefined;
  const origin = headers[ORIGIN_HEADER] ?? "";
  return {
    offset,
    time_ms,
    envelope: payload,
    origin,
    stream: log.lifeOf(stream, offset),
    previous,
  };
}

/** Converts a message that was read, which an older Shield may have stored. */
export function fromLog({ offset, time_ms, payload, headers }: LogMessage): StoredMessage {
  return { offset, time_ms, envelope: readable(payload), origin: headers[ORIGIN_HEADER] ?? "" };
}
