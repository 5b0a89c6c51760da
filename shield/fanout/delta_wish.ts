/** What a SUB says of diffs, and what its connection keeps for them. Who gets which is `deltas.ts`. */
import type { AskedDeltas } from "@arqon/proto";
import type { Limits } from "../../shared/config/schema.ts";
import type { ShieldStats } from "../stats/stats.ts";
import { KeptBases } from "./kept_bases.ts";

/** What a connection says of diffs in a room. */
export interface DeltaWish {
  /** Whether it reads VCDIFF. */
  readonly vcdiff: boolean;
  /** What it keeps of all its rooms; undefined: all that it is sent of this one. */
  readonly kept: KeptBases | undefined;
}

/** What it needs of the process. */
interface DeltaContext {
  readonly limits: Pick<Limits, "delta_bytes_per_connection">;
  readonly stats: Pick<ShieldStats, "deltas">;
}

/**
 * What the SUB asks for; undefined: nothing. The first of a connection that has `delta_bytes` says it for all
 * that have some: what both sides count alike must not change in the midst of what is on its way.
 */
export function deltaWish(
  { limits, stats }: DeltaContext,
  connection: { kept_bases: KeptBases | undefined },
  { delta, delta_bytes, vcdiff }: AskedDeltas,
): DeltaWish | undefined {
  if (!delta) return undefined;
  if (delta_bytes === 0) return { vcdiff, kept: undefined };
  const bytes_max = Math.min(delta_bytes, limits.delta_bytes_per_connection);
  const kept = connection.kept_bases ??= new KeptBases(bytes_max, () => stats.deltas.let_go++);
  return { vcdiff, kept };
}
