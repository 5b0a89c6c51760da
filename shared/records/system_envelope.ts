/**
 * Envelopes that the bus itself writes (presence, signals, room events): stamped like those of clients, but without a
 * sender, which is how receivers recognize them.
 */
import { type EnvelopeInput, writeEnvelope } from "@arqon/proto";
import { uuidv7 } from "../ids.ts";
import type { Env } from "../env.ts";

/** The source of stamps. */
export type StampSource = Pick<Env, "now" | "random">;

const utf8 = new TextEncoder();

/** An event with that JSON. */
export function jsonEvent(type: string, json: string) {
  return { event: { type, data: utf8.encode(json), content_type: "application/json" } };
}

/** Encodes `envelope` with `timestamp`, `X-Twist-ID` and `X-Timestamp` added. */
export function systemEnvelope(
  { now, random }: StampSource,
  envelope: Omit<EnvelopeInput, "timestamp_ms" | "sender_id">,
): Uint8Array<ArrayBuffer> {
  const timestamp_ms = now();
  return writeEnvelope({
    ...envelope,
    timestamp_ms,
    headers: {
      "X-Twist-ID": uuidv7(timestamp_ms, random),
      "X-Timestamp": String(timestamp_ms),
      ...envelope.headers,
    },
  });
}
