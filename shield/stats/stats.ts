/**
 * The Shield's counters. The message path adds to plain numbers; prom-client reads them only at a scrape, so no message
 * pays for a label lookup.
 */
import type { Registry } from "prom-client";
import { scrapedGauge } from "../../shared/metrics/metrics.ts";
import {
  registerPlainHistogram,
  scrapedCounter,
  scrapedFamily,
} from "../../shared/metrics/metrics_plain.ts";
import type { PlainHistogram } from "../../shared/metrics/metrics_plain.ts";
import { CLOSES, type Reason } from "@arqon/proto";
import { createDeliveryLatency } from "./delivery_latency.ts";

/**
 * What happened to a slow reader: its connection was cut off, a message was left out, or a newer
 * message replaced one.
 */
type SlowReaderAction = "disconnected" | "dropped" | "conflated";

/** Plain running totals since the start of the process, and gauges of the moment. */
export interface ShieldStats {
  active_connections: number;
  subscriptions: number;
  rooms: number;
  ingress_bytes: number;
  egress_messages: number;
  /** Events of the bus that subscribers received: of presence and rooms, GAPs. */
  egress_events: number;
  egress_bytes: number;
  /** Messages not delivered because their id was seen within two minutes. */
  duplicates: number;
  /** Messages not delivered because the servers of the Spine repeated them. */
  repeated: number;
  /** Messages not delivered because their envelope could not be read. */
  malformed: number;
  gaps: number;
  /** Operations without an answer because a drain that took too long closed their connection. */
  drain_cuts: number;
  /** BATCH frames that were sent, and the messages in them. */
  batches: number;
  batched_messages: number;
  /** Bytes queued in outboxes, of all connections. */
  unsent_bytes: number;
  pending_operations: number;
  /** Bans in force, of all tenants. */
  bans: number;
  /** Connections that were removed from a room or the process, by cause: `kick`, `ban`, `signal`, … */
  readonly kicks: Record<string, number>;
  /** Bans that could not be read, or exceeded the limit, by cause. */
  readonly ban_problems: Record<string, number>;
  /** Effects on slow readers: `disconnected`, `dropped`, `conflated`. */
  readonly slow_reader: Record<SlowReaderAction, number>;
  readonly ingress_ops: Record<string, number>;
  readonly rejects: Partial<Record<Reason, number>>;
  readonly closes: Record<string, number>;
  readonly handshakes: Record<string, number>;
  /** The time from a message's stamp to its delivery, one observation per fan-out. */
  readonly delivery_latency: PlainHistogram;
}

/** Makes the counters, all at zero. */
export function createStats(): ShieldStats {
  return {
    active_connections: 0,
    subscriptions: 0,
    rooms: 0,
    ingress_bytes: 0,
    egress_messages: 0,
    egress_events: 0,
    egress_bytes: 0,
    duplicates: 0,
    repeated: 0,
    malformed: 0,
    gaps: 0,
    drain_cuts: 0,
    batches: 0,
    batched_messages: 0,
    unsent_bytes: 0,
    pending_operations: 0,
    bans: 0,
    kicks: {},
    ban_problems: {},
    slow_reader: { disconnected: 0, dropped: 0, conflated: 0 },
    ingress_ops: {},
    rejects: {},
    closes: {},
    handshakes: {},
    delivery_latency: createDeliveryLatency(),
  };
}

/** Adds one to `key`; the keys are closed sets (operations, reasons, close codes), so this is bounded. */
export function bump(totals: Record<string, number>, key: string | number): void {
  totals[key] = (totals[key] ?? 0) + 1;
}

/** WebSocket's own codes, never on the wire: a close frame without a code, and no close frame at all. */
const SILENT_CLOSES = [1005, 1006];

/**
 * Counts a close. A client may choose any of 2,000 codes of its own; they count as `other`, so that
 * clients cannot make time series. The runtime says 0 when no close frame came.
 */
export function countClose(stats: ShieldStats, code: number): void {
  const known = code in CLOSES || SILENT_CLOSES.includes(code);
  bump(stats.closes, code === 0 ? 1006 : known ? code : "other");
}

type Described<Texts> = { readonly [Key in keyof ShieldStats]?: Readonly<Texts> };

/** The entries of a table that has no others. */
const entriesOf = <Table extends object>(table: Table) =>
  Object.entries(table) as [keyof Table, Table[keyof Table]][];

const TOTALS = {
  ingress_bytes: ["shield_ingress_bytes_total", "Bytes received in frames and HTTP bodies."],
  egress_messages: [
    "shield_egress_messages_total",
    "Messages of clients and backends delivered to subscribers.",
  ],
  egress_events: [
    "shield_egress_events_total",
    "Events of the bus delivered to subscribers: PRESENCE_UPDATE, PRESENCE_LEAVE, ROOM_UPDATE, GAP.",
  ],
  egress_bytes: ["shield_egress_bytes_total", "Bytes of frames delivered to subscribers."],
  duplicates: [
    "shield_duplicate_messages_total",
    "Messages dropped because their id was a duplicate.",
  ],
  repeated: [
    "shield_repeated_messages_total",
    "Messages dropped because the servers of the Spine repeated them or delivered them after newer ones.",
  ],
  malformed: [
    "shield_malformed_messages_total",
    "Messages from the Spine dropped because their envelope could not be read.",
  ],
  gaps: ["shield_gaps_total", "GAP signals sent to rooms after the Spine lost messages."],
  drain_cuts: [
    "shield_drain_cuts_total",
    "Operations without an answer because a drain that took too long closed their connection.",
  ],
  batches: ["shield_batches_total", "BATCH frames sent."],
  batched_messages: ["shield_batched_messages_total", "Messages sent in BATCH frames."],
} as const satisfies Described<[name: string, help: string]>;

const LEVELS = {
  active_connections: ["shield_active_connections", "Open WebSocket connections."],
  subscriptions: ["shield_subscriptions", "Room subscriptions of all connections."],
  rooms: ["shield_rooms", "Rooms with a subscriber on this Shield."],
  unsent_bytes: ["shield_unsent_bytes", "Bytes in outbound queues."],
  pending_operations: ["shield_pending_operations", "Operations in queues or waiting for an ACK."],
  bans: ["shield_bans", "Bans in force that this Shield knows, of all tenants."],
} as const satisfies Described<[name: string, help: string]>;

const FAMILIES = {
  ingress_ops: ["shield_ingress_ops", "op", "Operations received, by kind."],
  rejects: ["shield_rejects_total", "reason", "Refusals, by reason."],
  closes: ["shield_closes_total", "code", "Connections closed, by close code."],
  handshakes: ["shield_handshakes_total", "outcome", "Upgrade requests, by outcome."],
  kicks: ["shield_kicks_total", "cause", "Connections removed from a room or from the tenant."],
  slow_reader: [
    "shield_slow_reader_total",
    "action",
    "Slow readers: connections disconnected, messages dropped or conflated.",
  ],
  ban_problems: [
    "shield_ban_problems_total",
    "problem",
    "Bans that could not be read or exceeded the limit.",
  ],
} as const satisfies Described<[name: string, label: string, help: string]>;

/** Registers the totals under the documented names. */
export function registerStats(stats: ShieldStats, registry: Registry): void {
  for (const [key, [name, help]] of entriesOf(TOTALS)) {
    scrapedCounter(registry, name, help, () => stats[key]);
  }
  for (const [key, [name, help]] of entriesOf(LEVELS)) {
    scrapedGauge(registry, name, help, () => stats[key]);
  }
  for (const [key, [name, label, help]] of entriesOf(FAMILIES)) {
    scrapedFamily(registry, name, help, label, () => stats[key]);
  }
  registerPlainHistogram(
    registry,
    "shield_delivery_latency_seconds",
    "Time from a message's stamp at the receiving Shield to its delivery to subscribers here.",
    stats.delivery_latency,
  );
}
