/**
 * The time of messages from the stamp of a Shield to the send to subscribers here, once for each fan-out. The two ends
 * are clocks of two Shields: their difference is included, and a time below 0 counts as 0. Measured on the message
 * path, so only the one field is decoded.
 */
import { PlainHistogram } from "../../shared/metrics/metrics_plain.ts";

/** The upper bounds of the buckets in seconds; stamps are in whole ms. */
const BUCKETS_SECONDS = [
  0.001,
  0.002,
  0.005,
  0.01,
  0.02,
  0.05,
  0.1,
  0.2,
  0.5,
  1,
  2,
  5,
  10,
  30,
  60,
];
const TAG_TIMESTAMP = 0x20;
const LAST_TAG_BEFORE = 0x1a;
const LENGTH_DELIMITED = 2;

/** Makes an empty histogram. */
export function createDeliveryLatency(): PlainHistogram {
  return new PlainHistogram(BUCKETS_SECONDS);
}

/**
 * The timestamp (Unix ms) of an envelope that a Shield wrote, with its fields in order; 0 if the timestamp is not the
 * first field. Never throws.
 */
export function stampedMs(envelope: Uint8Array): number {
  const { length } = envelope;
  let at = 0;
  while (at < length) {
    const tag = envelope[at++]!;
    if (tag !== TAG_TIMESTAMP && (tag > LAST_TAG_BEFORE || (tag & 7) !== LENGTH_DELIMITED)) {
      return 0;
    }
    let value = 0;
    let scale = 1;
    for (;;) {
      if (at >= length || scale > 2 ** 56) return 0;
      const byte = envelope[at++]!;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
      scale *= 128;
    }
    if (tag === TAG_TIMESTAMP) return value;
    at += value;
  }
  return 0;
}

/** Observes one fan-out of an envelope that was done at `now_ms`; one without a stamp is left out. */
export function observeDelivery(
  latency: PlainHistogram,
  envelope: Uint8Array,
  now_ms: number,
): void {
  const stamped_ms = stampedMs(envelope);
  if (stamped_ms > 0) latency.observe(Math.max(now_ms - stamped_ms, 0) / 1_000);
}
