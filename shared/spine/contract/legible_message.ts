/**
 * Stored messages that no Protobuf reader takes: earlier releases let some in. Each stays one message
 * at its offset, with the fields that the Shield wrote and a GAP with reason `unreadable` in place of
 * the payload, so that neither a history nor a recovery fails on it.
 */
import { DecodeError, readEnvelope, readRouted, writeEnvelope } from "@arqon/proto";

/** The stored envelope in a form that can be read. One without a legible room stays as it is. */
export function legible(stored: Uint8Array): Uint8Array {
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
