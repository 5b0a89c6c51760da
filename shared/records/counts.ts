/** The counters of a tenant's usage. `units.ts` has the reported units and their prices. */

/** The counters in stored order: integers that only grow within a minute. */
export const COUNTERS = [
  /** Events, signals and commands received from clients and backends. */
  "messages_in",
  /** Bytes of their envelopes, as received. */
  "bytes_in",
  /** Frames of messages and bus events sent to subscribers. */
  "messages_out",
  "bytes_out",
  /** Those of them that are messages. */
  "deliveries",
  /** Open time of connections, in ms. */
  "connection_ms",
  /** Instruction units of policies and reducers; 500 are one fuel. */
  "fuel_units",
  "schema_steps",
  /** Commands among `messages_in`. */
  "commands",
  "log_bytes",
  /** Pages of stored messages read from a log, for history and streams. */
  "reads",
  /** Bytes of the answers built from them. */
  "read_bytes",
] as const;
/** One of the counts. */
export type Counter = (typeof COUNTERS)[number];
/** All counters of one row. */
export type Counts = Record<Counter, number>;

/** The dimensions of a row; "" for one that does not apply. */
export interface UsageKey {
  /** The pattern of the room's class; `*` for rooms without one, "" outside of rooms. */
  readonly room: string;
  /** The class of the user, as `[usage] user_claim` has it. */
  readonly user: string;
  /** The policy that used the fuel. */
  readonly policy: string;
}

/** The counters of one combination of dimensions. */
export interface UsageRow extends UsageKey {
  readonly counts: Readonly<Counts>;
}

/** Counters at 0. */
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

/** Adds `more` to `counts`, in place. */
export function addCounts(counts: Counts, more: Readonly<Counts>): void {
  for (const counter of COUNTERS) counts[counter] += more[counter];
}
