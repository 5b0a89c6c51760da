/**
 * Stored messages that no Protobuf reader can parse: earlier releases admitted some. Each keeps its offset and the
 * fields that the Shield wrote, with a GAP of reason `unreadable` in place of the payload, so that neither history nor
 * recovery fails on it.
 */
import { DecodeError, readEnvelope, readRouted, writeEnvelope } from "@arqon/proto";

/** The stored envelope in a readable form. One without a readable room is returned unchanged. */
export function readable(stored: Uint8Array): Uint8Array {
  try {
    readEnvelope(stored);
    return stored;
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
  }
  try {
    return writeEnvelope(readRouted(stored));
  } catch (error) {
    if (error instanceof DecodeError) return stored;
    throw error;
  }
}
