/**
 * Revokes tokens: stores the revocation merged with an earlier one, and applies it here. Those who call it authorize
 * callers.
 */
import { ArqonError } from "@arqon/proto";
import type { Config } from "../../../shared/config/schema.ts";
import {
  decodeRevocation,
  encodeRevocation,
  revocationKey,
  widest,
} from "../../../shared/records/revocations.ts";
import type { Revocation } from "../../../shared/records/revocations.ts";
import { changeDocument } from "../../../shared/spine/contract/compare_and_set.ts";
import type { KeyValue, KvEntry } from "../../../shared/spine/contract/spine.ts";
import type { Revocations } from "../../auth/revocations.ts";

/** With n concurrent writers the last one succeeds at its n-th attempt. */
const ATTEMPTS = 16;

/** Where a revocation is stored and applied. */
interface RevokeContext {
  readonly revocations: Pick<Revocations, "hasRoom" | "take">;
  readonly bucket: Pick<KeyValue, "get" | "update">;
  readonly limits: Pick<Config["limits"], "revocations">;
}

/**
 * Resolves with the merged revocation, in force here. Rejects with `revocation-limit` (429) if no other one fits,
 * `version-conflict` or `spine-unavailable`.
 */
export async function revokeTokens(
  { revocations, bucket, limits }: RevokeContext,
  tenant_id: string,
  wanted: Revocation,
): Promise<Revocation> {
  if (!revocations.hasRoom(tenant_id, wanted)) {
    throw new ArqonError("revocation-limit", String(limits.revocations));
  }
  const entry = await store(bucket, tenant_id, wanted);
  revocations.take(entry);
  return decodeRevocation(entry.value);
}

/** Stores it merged with the earlier one, never instead of it. */
function store(
  bucket: RevokeContext["bucket"],
  tenant_id: string,
  wanted: Revocation,
): Promise<KvEntry> {
  const key = revocationKey(tenant_id, wanted);
  return changeDocument(async (mayLose) => {
    const before = await bucket.get(key);
    const value = encodeRevocation(before === undefined ? wanted : merged(before, wanted));
    const revision = await mayLose(bucket.update(key, value, before?.revision ?? 0));
    return { key, value, revision };
  }, { attempts: ATTEMPTS });
}

/**
 * A revocation merged with a stored one. An unreadable one is replaced: until then it applies to everything that it can
 * match.
 */
function merged({ value }: KvEntry, wanted: Revocation): Revocation {
  try {
    return widest(decodeRevocation(value), wanted);
  } catch {
    return wanted;
  }
}
