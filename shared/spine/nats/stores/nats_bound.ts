/**
 * Creates the stream of a bucket or an object store with its share of the storage, and applies the share to an existing
 * one. So everything but messages has reserved room, which no tenant's log can use up. The bounds of tenants' logs are
 * in `nats_log_stream.ts`.
 */
import type { StreamAPI, StreamConfig, StreamInfo } from "@nats-io/jetstream";
import { isForbidden, isMade, lacksStorage } from "../connection/nats_persist.ts";
import type { NatsStorage } from "../log/nats_storage.ts";
import {
  BUCKET_BYTES_MIN,
  bucketBound,
  smaller,
  STORAGE_REMEDY,
} from "../../contract/storage_plan.ts";

/** The bucket or store of a stream named `KV_NAME` or `OBJ_NAME`. */
const bucketOf = (stream: string): string => stream.replace(/^[A-Z]+_/, "");

function tellShort(
  storage: NatsStorage,
  stream: string,
  bound_bytes: number,
  wanted: number,
): void {
  storage.log.warn("NATS has too little room to promise a bucket its share", {
    stream,
    bound_bytes: bound_bytes > 0 ? bound_bytes : "none",
    wanted_bytes: wanted,
    remedy: STORAGE_REMEDY,
  });
}

/** Creates a stream with a bound: its share, or a smaller one if there is no room. */
export async function makeBounded(
  storage: NatsStorage,
  streams: StreamAPI,
  config: Partial<StreamConfig> & { readonly name: string },
): Promise<void> {
  const { name: stream } = config;
  const wanted_bytes = await storage.bucketBytes(bucketOf(stream));
  let bound_bytes = wanted_bytes;
  for (;; bound_bytes = smaller(bound_bytes)) {
    try {
      const bounded = { ...config, max_bytes: bound_bytes };
      await storage.inTurn(() => streams.add(bounded));
      break;
    } catch (error) {
      if (isMade(error)) break;
      if (!lacksStorage(error) || bound_bytes <= BUCKET_BYTES_MIN) throw error;
    }
  }
  storage.note(stream, bound_bytes);
  if (bound_bytes < wanted_bytes) tellShort(storage, stream, bound_bytes, wanted_bytes);
}

/**
 * Sets the bound of a stream. If there is no room for the new bound, a bounded stream keeps its own, and an unbounded
 * one gets the largest that fits.
 */
export async function boundStream(
  storage: NatsStorage,
  streams: StreamAPI,
  { config: { name: stream, max_bytes }, state }: StreamInfo,
): Promise<void> {
  storage.note(stream, max_bytes);
  const share_bytes = await storage.bucketBytes(bucketOf(stream));
  const wanted_bytes = bucketBound(max_bytes, state.bytes, share_bytes);
  const least_bytes = max_bytes > 0 ? wanted_bytes : Math.max(BUCKET_BYTES_MIN, 2 * state.bytes);
  let bound_bytes = wanted_bytes;
  while (bound_bytes !== max_bytes) {
    try {
      await streams.update(stream, { max_bytes: bound_bytes });
      storage.note(stream, bound_bytes);
      break;
    } catch (error) {
      if (isForbidden(error)) return; // A process with the permission will do it.
      if (!lacksStorage(error)) throw error;
      const is_least = bound_bytes <= least_bytes;
      bound_bytes = is_least ? max_bytes : Math.max(least_bytes, smaller(bound_bytes));
    }
  }
  if (bound_bytes !== wanted_bytes) tellShort(storage, stream, bound_bytes, wanted_bytes);
}
