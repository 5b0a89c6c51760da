/**
 * Tests whether JetStream stores writes now, by a write to one key. An open connection does not prove it, and a full
 * log affects its tenant only.
 */
import { ArqonError } from "@arqon/proto";
import { apiCode } from "../connection/nats_persist.ts";
import type { KeyValue } from "../../contract/spine.ts";
import { STORAGE_BUCKET } from "../../contract/storage_plan.ts";

/** Every process writes the same key. */
const KEY = ["proof"];
/** The most bytes of a test: that bucket is small. */
const PROOF_BYTES_MAX = 4_096;

/** JetStream's error codes for lack of room: of the account, of the server, of its memory, for a reservation. */
const NO_ROOM_CODES: readonly (number | undefined)[] = [10002, 10023, 10028, 10047];
const NO_ROOM = /no space left|insufficient|resource limits|maximum (bytes|size)/i;

function explained(error: unknown): unknown {
  if (!(error instanceof ArqonError)) return error;
  const { cause } = error;
  const message = cause instanceof Error ? cause.message : error.message;
  if (!NO_ROOM_CODES.includes(apiCode(cause)) && !NO_ROOM.test(message)) return error;
  const why = `NATS is out of storage (${message}): raise max_file_store or the account's limit, ` +
    "or keep less ([durable] log_bytes, history_size, history_ttl_seconds)";
  return new ArqonError("spine-unavailable", why, { cause });
}

/** Rejects with `spine-unavailable` and the remedy if JetStream cannot store this many bytes. */
export async function proveStorage(
  spine: { keyValue(bucket: string): Promise<Pick<KeyValue, "put">> },
  size_bytes: number,
): Promise<void> {
  try {
    const bucket = await spine.keyValue(STORAGE_BUCKET);
    await bucket.put(KEY, new Uint8Array(Math.min(size_bytes, PROOF_BYTES_MAX)));
  } catch (error) {
    throw explained(error);
  }
}
