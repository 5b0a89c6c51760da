/** What is counted of a tenant's use, as plain numbers. In which units it is reported, and what it costs, is `units.ts`. */

/** The counts as they are kept: whole numbers that only grow within a minute, in this order. */
export const COUNTERS = [
  /** Events, signals and commands that were taken from clients and backends. */
  "messages_in",
  /** Bytes of their envelopes, as they came. */
  "bytes_in",
  /** Frames of messages, and of events of the bus, that were handed to subscribers. */
  "messages_out",
  /** Bytes of those frames. */
  "bytes_out",
  /** Those of them that are messages. */
  "deliveries",
  /** Time for which connections were open, in ms. */
  "connection_ms",
  /** Units of the instructions of policies and reducers; 500 are one fuel. */
  "fuel_units",
  /** Checks against a schema, and the steps of rules in them. */
  "schema_steps",
  /** Commands among `messages_in`. */
  "commands",
  /** Bytes of envelopes that were stored in the logs of durable rooms. */
  "log_bytes",
  /** Pages of stored messages that were read from a log, for history and streams. */
  "reads",
  /** Bytes of the answers that were made of them. */
  "read_bytes",
] as const;
/** One of the counts. */
export type Counter = (typeof COUNTERS)[number];
/** All counts of one row. */
export type Counts = Record<Counter, number>;

/** Who the counts of a row are about; "" where that is no matter of the row. */
export interface UsageKey {
  /** The pattern of the room's class; `*` for rooms without one, "" beside rooms. */
  readonly room: string;
  /** The class of the user, as `[usage] user_claim` has it. */
  readonly user: string;
  /** The policy whose fuel it is. */
  readonly policy: string;
}

/** One row. */
export interface UsageRow extends UsageKey {
  readonly counts: Readonly<Counts>;
}

/** No use at all. */
export function noCounts(): Counts {
  return {
    messages_in: 0,
    bytes_in: 0,
    messages_out: 0,
    bytes_out: 0,
    deliveries: 0,
    connection_ms: 0,
    fuel_units: 0,
    schema_steps: 0,
    commands: 0,
    log_bytes: 0,
    reads: 0,
    read_bytes: 0,
  };
}

/** Adds `more` to `counts`. */
export function addCounts(counts: Counts, more: Readonly<Counts>): void {
  for (const counter of COUNTERS) counts[counter] += more[counter];
}
