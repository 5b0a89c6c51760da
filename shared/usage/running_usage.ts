/** Reads a tenant's running minutes, which are in a bucket until they end. */
import type { KeyValue } from "../spine/contract/spine.ts";
import { slice } from "../turns/slices.ts";
import { decodeMinute } from "./minute.ts";
import { runningKey } from "./usage_stores.ts";
import type { Told } from "./stored_use.ts";

/**
 * How much earlier than the requested time blocks are read, too: their store times are by the store's clock, and clocks
 * differ and are set.
 */
export const CLOCKS_MS = 86_400_000;

/** The running minutes of a tenant, and those left by killed Shields. Rejects with errors of the bucket. */
export async function readRunning(
  { running }: { readonly running: Pick<KeyValue, "keys" | "get"> },
  tenant_id: string,
): Promise<Told[]> {
  const told: Told[] = [];
  for (const key of await running.keys(runningKey(tenant_id))) {
    await slice(tenant_id);
    const entry = await running.get(key);
    const minute = entry === undefined ? undefined : decodeMinute(entry.value);
    if (minute !== undefined) told.push({ ...minute, node_id: key[2] ?? "" });
  }
  return told;
}
