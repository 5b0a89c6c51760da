/**
 * Revokes tokens: stores the revocation merged with an earlier one, and applies it here. Also starts the revocations of
 * a process. Those who call it authorize callers.
 */
import { ArqonError } from "@arqon/proto";
import type { Config } from "../../shared/config/schema.ts";
import {
  decodeRevocation,
  encodeRevocation,
  revocationKey,
  REVOCATIONS_BUCKET,
  widest,
} from "../../shared/records/revocations.ts";
import type { Revocation } from "../../shared/records/revocations.ts";
import { changeDocument } from "../../shared/spine/contract/compare_and_set.ts";
import type { KeyValue, KvEntry, Spine } from "../../shared/spine/contract/spine.ts";
import { Revocations } from "./revocations.ts";
import type { Env } from "../../shared/env.ts";

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

interface RevocationsStart extends Pick<Env, "registry" | "log" | "now" | "monotonic_ms"> {
  readonly config: Pick<Config, "limits">;
  readonly spine: Pick<Spine, "keyValue" | "status" | "onEvent">;
}

/** The revocations of one process. */
export interface StartedRevocations {
  /** Not started yet: the caller first sets an observer of changes. */
  readonly held: Revocations;
  readonly bucket: KeyValue;
  /** Rejects as `revokeTokens` does. */
  readonly revoke: (tenant_id: string, wanted: Revocation) => Promise<Revocation>;
}

/** Assembles the revocations of one process. Rejects with `spine-unavailable`. */
export async function startRevocations(start: RevocationsStart): Promise<StartedRevocations> {
  const { config: { limits }, spine } = start;
  const bucket = await spine.keyValue(REVOCATIONS_BUCKET);
  const log = start.log.child({ part: "revocations" });
  const held = new Revocations({ ...start, bucket, log, revocations_max: limits.revocations });
  const revoking = { revocations: held, bucket, limits };
  return { held, bucket, revoke: (tenant_id, wanted) => revokeTokens(revoking, tenant_id, wanted) };
}
