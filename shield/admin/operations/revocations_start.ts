/** Puts the revocations of one process together: their bucket, their copy in memory, and the admin API. */
import type { Config } from "../../../shared/config/schema.ts";
import type { Logger } from "../../../shared/logs/log.ts";
import type { Registry } from "../../../shared/metrics/metrics.ts";
import { REVOCATIONS_BUCKET } from "../../../shared/records/revocations.ts";
import type { Revocation } from "../../../shared/records/revocations.ts";
import type { Spine } from "../../../shared/spine/contract/spine.ts";
import type { RevocationsAdminContext } from "./revocations_api.ts";
import { Revocations } from "../../auth/revocations.ts";
import { revokeTokens } from "../../auth/revoke.ts";

/** What revocations need of the process. */
export interface RevocationsStart {
  readonly config: Pick<Config, "auth" | "limits">;
  readonly spine: Pick<Spine, "keyValue" | "status" | "onEvent">;
  readonly registry: Registry;
  readonly log: Logger;
  /** Unix ms. */
  readonly now: () => number;
  /** Ms that only grow. */
  readonly monotonic_ms: () => number;
  readonly node_id: string;
}

/** The revocations of one process, and what its admin API acts on. */
export interface StartedRevocations {
  /** Not started yet: somebody has to learn of changes first. */
  readonly held: Revocations;
  /** What their admin API acts on. */
  readonly admin: RevocationsAdminContext;
  /** Rejects as `revokeTokens` does. */
  readonly revoke: (tenant_id: string, wanted: Revocation) => Promise<Revocation>;
}

/** Rejects with `spine-unavailable`. */
export async function startRevocations(start: RevocationsStart): Promise<StartedRevocations> {
  const { config, spine, registry, now, monotonic_ms, node_id } = start;
  const { auth, limits } = config;
  const log = start.log.child({ part: "revocations" });
  const bucket = await spine.keyValue(REVOCATIONS_BUCKET);
  const revocations_max = limits.revocations;
  const clocks = { now, monotonic_ms };
  const held = new Revocations({ bucket, spine, registry, log, ...clocks, revocations_max });
  const context = { revocations: held, bucket, auth, limits, log, now, node_id };
  return {
    held,
    admin: context,
    revoke: (tenant_id, wanted) => revokeTokens(context, tenant_id, wanted),
  };
}
