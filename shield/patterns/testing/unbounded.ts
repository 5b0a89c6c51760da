/** The patterns of a hub, without limits. Tests only. */
import type { PatternHub } from "../../fanout/patterns.ts";
import { PatternRooms } from "../pattern_rooms.ts";

/** For `HubOptions.patterns`. */
export const unboundedPatterns = (hub: PatternHub): PatternRooms =>
  new PatternRooms({ ...hub, patterns_per_tenant: Infinity, pattern_rooms_per_tenant: Infinity });

/** The patterns of a hub that has these. */
export const patternsOf = ({ patterns }: { readonly patterns: unknown }): PatternRooms => {
  if (patterns instanceof PatternRooms) return patterns;
  throw new TypeError("this hub has no patterns");
};
