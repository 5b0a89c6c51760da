/**
 * A program that counts which share of a million ids the mirror's rules pick, for comparison with the share
 * that was asked for. Prints JSON; `governance_share.ts` starts it.
 */
import { MirrorRules } from "../../shield/mirror/rules.ts";
import { MirrorStats } from "../../shield/mirror/stats.ts";
import { ID_KINDS, type IdKind } from "./governance_ids.ts";

/** The plan of the count. */
export interface SharePlan {
  readonly ids: number;
}

/** The count for one share and one kind of ids. */
export interface ShareResult {
  readonly ids: IdKind;
  readonly asked: number;
  readonly observed: number;
  /** The expected deviation of a hash that is like a throw of dice (one standard deviation). */
  readonly deviation: number;
  /**
   * Number of ids that this share picks and the next larger one does not. A smaller share must be a subset.
   */
  readonly outside_larger: number;
}

const SHARES: readonly number[] = [0.0001, 0.01, 0.1, 0.5];

function count(kind: IdKind, ids: number): ShareResult[] {
  const rules = new MirrorRules(
    SHARES.map((percent, index) => ({ prefix: `in.t.acme.r.room-${index}`, percent })),
    new MirrorStats().totalsOf,
  );
  const ruled = SHARES.map((_, index) => rules.match(`in.t.acme.r.room-${index}`, "acme")!);
  const picked = SHARES.map(() => 0);
  const outside = SHARES.map(() => 0);
  const next = ID_KINDS[kind]();
  for (let index = 0; index < ids; index++) {
    const id = next(index);
    const picks = ruled.map((rule) => rules.picks(rule, id));
    for (const [share, is_in] of picks.entries()) {
      if (!is_in) continue;
      picked[share]!++;
      if (picks[share + 1] === false) outside[share]!++;
    }
  }
  return SHARES.map((asked, share) => ({
    ids: kind,
    asked,
    observed: picked[share]! / ids,
    deviation: Math.sqrt(asked * (1 - asked) / ids),
    outside_larger: outside[share]!,
  }));
}

if (import.meta.main) {
  const { ids }: SharePlan = JSON.parse(Deno.args[0] ?? "{}");
  const kinds = Object.keys(ID_KINDS) as IdKind[];
  console.log(JSON.stringify(kinds.flatMap((kind) => count(kind, ids))));
  Deno.exit(0);
}
