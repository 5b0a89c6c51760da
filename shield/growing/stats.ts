/** The metrics of growing messages. No behaviour of its own. */
import { Counter, Gauge } from "../../shared/metrics/metrics.ts";
import type { Registry } from "../../shared/metrics/metrics.ts";
import { OUTCOMES } from "./record.ts";
import type { Outcome } from "./record.ts";

/** The limit that was reached. */
const BOUNDS = ["message", "room_messages", "tenant_messages", "held"] as const;
type Bound = typeof BOUNDS[number];

/** Counts events of growing messages on this Shield. */
export interface GrowingStats {
  started(): void;
  /** A piece of so many bytes. */
  piece(size_bytes: number): void;
  /** Policies hold back a part of a piece. */
  held(): void;
  ended(outcome: Outcome): void;
  bound(bound: Bound): void;
  /** One that two processes have left in the middle is brought to no end. */
  setAside(): void;
  /** Growing messages in all rooms of all tenants. */
  seen(count: number): void;
}

/** Registers them; once a registry. */
export function growingStats(registry: Registry): GrowingStats {
  const registers = [registry];
  const counter = (name: string, help: string, labelNames: string[] = []) =>
    new Counter({ name, help, labelNames, registers });
  const started = counter("shield_growing_started_total", "Growing messages that were begun here.");
  const pieces = counter(
    "shield_growing_pieces_total",
    "Pieces that were added to growing messages.",
  );
  const bytes = counter("shield_growing_bytes_total", "Bytes of those pieces.");
  const held = counter(
    "shield_growing_held_total",
    "Pieces after which policies held something back.",
  );
  const ended = counter(
    "shield_growing_ended_total",
    "Growing messages that ended here, by how. One that was taken up again may count twice.",
    ["outcome"],
  );
  const bounds = counter(
    "shield_growing_limited_total",
    "What was refused because of a bound of [growing].",
    ["limit"],
  );
  const aside = counter(
    "shield_growing_set_aside_total",
    "Growing messages that this Shield does not bring to their end: two processes died while they did.",
  );
  for (const outcome of OUTCOMES) ended.inc({ outcome }, 0);
  for (const limit of BOUNDS) bounds.inc({ limit }, 0);
  const messages = new Gauge({
    name: "shield_growing_messages",
    help:
      "Messages of all tenants that grow, as this Shield saw them last. Every Shield says the same.",
    registers,
  });
  return {
    started: () => started.inc(),
    piece(size_bytes) {
      pieces.inc();
      bytes.inc(size_bytes);
    },
    held: () => held.inc(),
    ended: (outcome) => ended.inc({ outcome }),
    bound: (limit) => bounds.inc({ limit }),
    setAside: () => aside.inc(),
    seen: (count) => messages.set(count),
  };
}
