/** The patterns capability of a Shield: a SUB of `orders-*` receives all rooms whose ids begin so. */
import { type Registry, scraped } from "../../shared/metrics/metrics.ts";
import type { Capability } from "../capability.ts";
import { PatternRooms } from "./pattern_rooms.ts";
import { subscribePattern, unsubscribePattern } from "./subscribe_pattern.ts";

function registerCounts({ counts }: PatternRooms, registry: Registry): void {
  scraped(registry, {
    "shield_patterns": [
      "Subscriptions of all connections to patterns of rooms.",
      () => counts.patterns,
    ],
    "shield_pattern_rooms": [
      "Rooms that are received by patterns, each counted once per connection.",
      () => counts.rooms,
    ],
    "shield_unmatched_messages_total": [
      "Messages received for a tenant's patterns, of rooms that no pattern matches.",
      () => counts.unmatched,
    ],
  });
}

/** The capability, for a Shield's list. */
export const PATTERNS: Capability<PatternRooms> = {
  name: "patterns",
  title: "subscriptions to all rooms whose ids begin alike",
  open({ config: { limits }, registry }, { running }) {
    const { patterns_per_tenant, pattern_rooms_per_tenant } = limits;
    const bounds = { patterns_per_tenant, pattern_rooms_per_tenant };
    let hub_patterns!: PatternRooms;
    return {
      gives: {
        patterns: {
          of(hub) {
            hub_patterns = new PatternRooms({ ...hub, ...bounds });
            registerCounts(hub_patterns, registry);
            return hub_patterns;
          },
          subscribe: (context, connection, subscribe, note) => {
            const own = { hub_patterns, logs: running.given.logs };
            return subscribePattern(own, context, connection, subscribe, note);
          },
          unsubscribe: (connection, unsubscribe) =>
            unsubscribePattern(hub_patterns, connection, unsubscribe),
        },
      },
      start: () => ({ own: hub_patterns }),
    };
  },
};
