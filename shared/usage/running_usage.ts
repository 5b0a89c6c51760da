/** Reads the minutes of a tenant that run, which are in a bucket until they are over. */
import type { KeyValue } from "../spine/contract/spine.ts";
import { decodeMinute } from "./minute.ts";
import { runningKey } from "./usage_stores.ts";
import type { Told } from "./stored_use.ts";

/**
 * The store knows when it took a block, by its own clock: blocks that it took so much earlier than what is asked
 * for are read, too, since clocks differ and are set.
 */
export const CLOCKS_MS = 86_400_000;

/** The minutes of a tenant that run, or that killed Shields have left. Rejects as the bucket rejects. */
export async function readRunning(
  { running }: { readonly running: Pick<KeyValue, "keys" | "get"> },
  tenant_id: string,
): Promise<Told[]> {
  const told: Told[] = [];
  for (const key of await running.keys(runningKey(tenant_id))) {
    const entry = await running.get(key);
    const minute = entry === undefined ? undefined : decodeMinute(entry.value);
    if (minute !== undefined) told.push({ ...minute, node_id: key[2] ?? "" });
  }
  return told;
}
