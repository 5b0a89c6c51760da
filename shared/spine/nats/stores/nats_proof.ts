/**
 * Finds out whether JetStream stores anything now, by a write to one key.
 * A connection that is up says nothing of that, and a log that is full concerns its tenant alone.
 */
import { ArqonError } from "@arqon/proto";
import { apiCode } from "../connection/nats_persist.ts";
import type { KeyValue } from "../../contract/spine.ts";
import { STORAGE_BUCKET } from "../../contract/storage_plan.ts";

/** Every process writes the same key. */
const KEY = ["proof"];
/** The most bytes that can be tried: that bucket has little room of its own. */
const PROOF_BYTES_MAX = 4_096;

/**
 * JetStream's error codes for too little room: of the account, of the server, of its memory, for a
 * reservation.
 */
const NO_ROOM_CODES: readonly (number | undefined)[] = [10002, 10023, 10028, 10047];
const NO_ROOM = /no space left|insufficient|resource limits|maximum (bytes|size)/i;

function explained(error: unknown): unknown {
  if (!(error instanceof ArqonError)) return error;
  const { cause } = error;
  const said = cause instanceof Error ? cause.message : error.message;
  if (!NO_ROOM_CODES.includes(apiCode(cause)) && !NO_ROOM.test(said)) return error;
  const why = `NATS is out of storage (${said}): raise max_file_store or the account's limit, ` +
    "or keep less ([durable] log_bytes, history_size, history_ttl_seconds)";
  return new ArqonError("spine-unavailable", why, { cause });
}

/** Rejects with `spine-unavailable` when JetStream does not take so much, and says what to do. */
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
