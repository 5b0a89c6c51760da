/** The metrics of a bridge. docs/bridge.md says which to watch. */
import { Counter, Gauge, Histogram, type Registry } from "../../shared/metrics/metrics.ts";
import type { BridgeWatch } from "./bridge.ts";
import type { Outcome } from "./publisher.ts";

const OUTCOMES: readonly Outcome[] = ["published", "repeated", "refused"];
/** Upper bounds in seconds. */
const COMMIT_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60, 600];

/** Registers the metrics; `now` is Unix ms. */
export function bridgeMetrics(registry: Registry, now: () => number): BridgeWatch {
  const registers = [registry];
  const gauge = (name: string, help: string) => new Gauge({ name, help, registers });
  const following = gauge(
    "bridge_following",
    "1 while this bridge follows the database; of several with a slot only one does.",
  );
  const messages = new Counter({
    name: "bridge_messages_total",
    help: "Messages of committed transactions that are over, by outcome.",
    labelNames: ["outcome"],
    registers,
  });
  for (const outcome of OUTCOMES) messages.inc({ outcome }, 0);
  const commits = new Histogram({
    name: "bridge_commit_seconds",
    help: "Time from a commit, by the database's clock, until the bus has accepted its message.",
    buckets: COMMIT_BUCKETS,
    registers,
  });
  const waiting = gauge(
    "bridge_waiting_messages",
    "Messages that wait for the bus; bridge.postgres.waiting_messages bounds them.",
  );
  const kept = gauge(
    "bridge_kept_wal_bytes",
    "Bytes of its log that the database keeps for the slot, at the last query.",
  );
  const safe = new Gauge({
    name: "bridge_safe_wal_bytes",
    help: "Bytes that the database may still write before the slot is lost, where that is bounded.",
    // A metric without a label would be 0 before its value is known.
    labelNames: ["slot"],
    registers,
  });
  return {
    state: (is_following) => following.set(is_following ? 1 : 0),
    over({ commit_ms }, outcome) {
      messages.inc({ outcome });
      if (outcome === "published") commits.observe(Math.max(0, now() - commit_ms) / 1_000);
    },
    waiting: (count) => waiting.set(count),
    kept({ slot, kept_bytes, safe_bytes }) {
      kept.set(kept_bytes);
      if (safe_bytes === undefined) safe.remove({ slot });
      else safe.set({ slot }, safe_bytes);
    },
  };
}
