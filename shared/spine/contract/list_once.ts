/** Lists the present entries of a bucket once. */
import type { KeyValue, KvEntry, WatchOptions } from "./spine.ts";

/** Its entries, in no order. Rejects with `spine-unavailable`. */
export async function listOnce(
  bucket: Pick<KeyValue, "watch">,
  options?: WatchOptions,
): Promise<KvEntry[]> {
  const entries = new Map<string, KvEntry>();
  const watch = bucket.watch([], (change) => {
    const name = JSON.stringify(change.key);
    if (change.type === "put") entries.set(name, change);
    else entries.delete(name);
  }, options);
  try {
    await watch.ready;
  } finally {
    watch.stop();
  }
  return [...entries.values()];
}
