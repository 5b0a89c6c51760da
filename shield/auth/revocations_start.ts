/** Assembles the revocations of one process: their bucket, and their copy in memory. */
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import { REVOCATIONS_BUCKET } from "../../shared/records/revocations.ts";
import type { Revocation } from "../../shared/records/revocations.ts";
import type { KeyValue, Spine } from "../../shared/spine/contract/spine.ts";
import { Revocations } from "./revocations.ts";
import { revokeTokens } from "./revoke.ts";

/** The dependencies of `startRevocations`. */
export interface RevocationsStart extends Pick<Env, "registry" | "log" | "now" | "monotonic_ms"> {
  readonly config: Pick<Config, "limits">;
  readonly spine: Pick<Spine, "keyValue" | "status" | "onEvent">;
}

/** The revocations of one process. */
export interface StartedRevocations {
  /** Not started yet: an observer of changes comes first. */
  readonly held: Revocations;
  readonly bucket: KeyValue;
  /** Rejects as `revokeTokens` does. */
  readonly revoke: (tenant_id: string, wanted: Revocation) => Promise<Revocation>;
}

/** Rejects with `spine-unavailable`. */
export async function startRevocations(start: RevocationsStart): Promise<StartedRevocations> {
  const { config: { limits }, spine } = start;
  const bucket = await spine.keyValue(REVOCATIONS_BUCKET);
  const log = start.log.child({ part: "revocations" });
  const held = new Revocations({ ...start, bucket, log, revocations_max: limits.revocations });
  const revoking = { revocations: held, bucket, limits };
  return { held, bucket, revoke: (tenant_id, wanted) => revokeTokens(revoking, tenant_id, wanted) };
}
