/**
 * Decides where a tenant's log lies, once for all processes: what it has stays, and a new one comes to a
 * stream that tenants share if the configuration has such streams and they keep as much as it asks for.
 */
import { ArqonError } from "@arqon/proto";
import { tenantLogPattern } from "../../../subjects/subject.ts";
import { changeDocument } from "../../contract/compare_and_set.ts";
import type { LogLimits, Retention } from "../../contract/durable_log.ts";
import type { LogTools, StreamLog } from "./nats_log.ts";
import { insist } from "./nats_log_api.ts";
import { largerRetention } from "./nats_log_config.ts";
import { shardOf, sharing } from "./nats_log_place.ts";
import { countStored, grantOf, readShared, shareBounds, writeShared } from "./nats_log_share.ts";

/** Where a tenant's log lies. */
export type Placing =
  | { readonly shard: undefined }
  /** `granted`: bytes that this process may store there at once. */
  | { readonly shard: string; readonly granted: number };

/** True when the classes that are for every tenant ask for as much as this one's. Pure. */
function mayShare({ common, ...own }: Retention, { shared_streams }: LogLimits): boolean {
  if (common === undefined || shared_streams === 0) return false;
  const most = largerRetention(common, own);
  return most.history_size === common.history_size &&
    most.history_ttl_seconds === common.history_ttl_seconds && own.replicas === common.replicas;
}

/** What placing needs beside the tools: the streams that are shared. */
export interface PlacingTools extends LogTools {
  /** Opens the shared stream, as large as is asked for. */
  openShared(shard: string, retention: Retention): Promise<StreamLog>;
}

/** Where the log of the tenant lies, from now on. Rejects as the opening of a log does. */
export async function placeOf(
  tools: PlacingTools,
  tenant_id: string,
  retention: Retention,
): Promise<Placing> {
  const { api, limits, link, monotonic, names } = tools;
  const pattern = tenantLogPattern(tenant_id);
  const own = await insist(link, monotonic, (timeout_ms) => api.names(pattern, timeout_ms));
  if (own.length > 0) return { shard: undefined };
  return await changeDocument<Placing>(async (mayLose) => {
    const bucket = await names.bucket();
    const entry = await bucket.get([tenant_id]);
    const shared = entry && readShared(entry);
    if (shared !== undefined) return { shard: shared.shared, granted: 0 };
    // It had a stream of its own, which is gone or being made.
    if (entry !== undefined || !mayShare(retention, limits)) return { shard: undefined };
    const shard = shardOf(tenant_id, limits.shared_streams);
    const log = await tools.openShared(shard, retention);
    // Nothing, unless the bucket was lost, or is older than the stream.
    const held = await log.ask((reading) =>
      countStored(reading, sharing(shard, tenant_id).pattern)
    );
    const granted = grantOf(held.bytes, 0, shareBounds(limits), false);
    const made = writeShared({ shared: shard, held: held.bytes + granted });
    await mayLose(bucket.update([tenant_id], made, 0));
    return { shard, granted };
  }, {
    overtaken: () =>
      new ArqonError("log-unavailable", "too many processes decide where its log lies"),
  });
}
