/** A durable room's messages as they come from the Spine, live or read. Not their envelopes' contents. */
import {
  LOG_OFFSET_HEADER,
  LOG_PREVIOUS_HEADER,
  LOG_STREAM_HEADER,
  LOG_TIME_HEADER,
} from "../../shared/spine/contract/durable_log.ts";
import type { DurableLog, LogMessage } from "../../shared/spine/contract/durable_log.ts";
import type { SpineMessage } from "../../shared/spine/contract/spine.ts";
import { ORIGIN_HEADER } from "../../shared/records/spine_headers.ts";
import { legible } from "./legible.ts";
import type { StoredMessage } from "./timeline.ts";

/** A message that came on `in` after its log had taken it. */
export interface LiveMessage extends StoredMessage {
  /** The life of the log that gave it its offset. */
  readonly stream: string;
  /** Offset of the room's message before it that the log had then; 0: none. */
  readonly previous: number;
}

function isOffset(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

/** Reads a live message; undefined when its headers are not those of a log. */
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

/** A message that was read, perhaps one that an older Shield stored. */
export function fromLog({ offset, time_ms, payload, headers }: LogMessage): StoredMessage {
  return { offset, time_ms, envelope: legible(payload), origin: headers[ORIGIN_HEADER] ?? "" };
}
