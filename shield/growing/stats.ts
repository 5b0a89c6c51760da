/** The metrics of growing messages. */
import { Counter, Gauge, type Registry } from "../../shared/metrics/metrics.ts";
import { type Outcome, OUTCOMES } from "./record.ts";

/** The limits that can be reached. */
const BOUNDS = ["message", "room_messages", "tenant_messages", "held"] as const;
type Bound = typeof BOUNDS[number];

/** Counts events of growing messages on this Shield. */
export interface GrowingStats {
  started(): void;
  piece(size_bytes: number): void;
  /** Policies hold back a part of a piece. */
  held(): void;
  ended(outcome: Outcome): void;
  bound(bound: Bound): void;
  /** A message is set aside after two processes died while ending it. */
  setAside(): void;
  /** Growing messages in all rooms of all tenants. */
  seen(count: number): void;
}

/** Registers the metrics; call it once per registry. */
export function growingStats(registry: Registry): GrowingStats {
  const registers = [registry];
  const counter = (name: string, help: string, labelNames: string[] = []) =>
    new Counter({ name, help, labelNames, registers });
  const started = counter(
    "shield_growing_started_total",
    "Growing messages that were started on this Shield.",
  );
  const pieces = counter(
    "shield_growing_pieces_total",
    "Pieces that were added to growing messages.",
  );
  const bytes = counter(
    "shield_growing_bytes_total",
    "Bytes of pieces that were added to growing messages.",
  );
  const held = counter("shield_growing_held_total", "Pieces after which policies held back text.");
  const ended = counter(
    "shield_growing_ended_total",
    "Growing messages that ended on this Shield, by outcome. A resumed one may count twice.",
    ["outcome"],
  );
  const bounds = counter(
    "shield_growing_limited_total",
    "Refusals because of a limit of [growing], by limit.",
    ["limit"],
  );
  const aside = counter(
    "shield_growing_set_aside_total",
    "Growing messages that this Shield does not end: two processes died while ending them.",
  );
  for (const outcome of OUTCOMES) ended.inc({ outcome }, 0);
  for (const limit of BOUNDS) bounds.inc({ limit }, 0);
  const messages = new Gauge({
    name: "shield_growing_messages",
    help:
      "Growing messages of all tenants, as last seen by this Shield. Every Shield reports the same number.",
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
