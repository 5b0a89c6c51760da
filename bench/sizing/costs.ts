/**
 * The measured costs that `model.ts` uses, each with its source. They are of one machine (two shared cores of an AMD
 * EPYC); another machine has other costs, in similar ratios.
 */

/**
 * CPU in µs of one operation. A turn of the event loop has its own price: `calm` applies to an operation that is alone
 * in its turn, `busy` to each of the many in a full turn. A real load is between them; plans use `calm`.
 */
export interface Price {
  readonly calm: number;
  readonly busy: number;
}

/** The costs of a load's parts. */
export interface Costs {
  /** A publish, until it is sent to NATS. */
  readonly publish_us: Price;
  /** The arrival of a message from NATS at a Shield, before the first delivery. */
  readonly arrival_us: Price;
  /** One delivery to a client without BATCH frames. */
  readonly delivery_us: Price;
  readonly ping_us: Price;
  /** NATS, for each message in or out. */
  readonly nats_us: Price;
  /** CPU in µs of a handshake with TLS and a cached token. */
  readonly handshake_us: number;
  /** Memory of a process without connections. */
  readonly process_bytes: number;
  readonly idle_bytes: number;
  /** Memory of a connection under the soak's load, and its messages per second there. */
  readonly busy_bytes: number;
  readonly busy_messages_per_s: number;
  /** The share of `[limits] memory_bytes` at which the memory guard starts to act on clients. */
  readonly guard_share: number;
  readonly machine_memory_share: number;
  /** Bytes of a delivery beside the body: envelope, frame and WebSocket header. */
  readonly frame_bytes: number;
}

/**
 * Busy: echo over NATS, 10,000/s, is a publish, an arrival and a delivery that is alone, 32.6 µs, of which the
 * delivery is 6.7. In a burst many deliveries leave in one write: 713,992 a CPU second to 1,000 receivers, ten
 * messages at once, 1.4 µs each (`bench --all --quick`, own sockets, 2026-11-22, fdd1cf5).
 * Calm: echo over NATS at 500/s, 124.5 µs of a Shield and 45.7 µs of NATS, 25 µs of a bare Deno server (one in
 * and one out, like a PING); `bench sizing --check`, 8 publishers to 4 readers on 1, 2 and 3 Shields, where each
 * further Shield that receives adds 46 µs (2026-11-22, a9c705f, two cores with a load of 15 to 20 of other work,
 * so that these are rather too high).
 */
export const COSTS: Costs = {
  publish_us: { calm: 70, busy: 17.9 },
  arrival_us: { calm: 46, busy: 8 },
  delivery_us: { calm: 8.5, busy: 1.4 },
  ping_us: { calm: 25, busy: 12.3 },
  nats_us: { calm: 23, busy: 8 },
  // docs/reliability.md, "Everybody drops and returns at once".
  handshake_us: 450,
  // docs/reliability.md, "A hundred thousand connections": six processes.
  process_bytes: 136e6,
  // `bench --all --quick`, 10,000 idle connections on own sockets, 2026-11-22, fdd1cf5.
  idle_bytes: 10.4e3,
  // docs/reliability.md, the soak: 10,000 connections, 5,000 messages a second.
  busy_bytes: 78.3e3,
  busy_messages_per_s: 0.5,
  guard_share: 0.45,
  machine_memory_share: 0.75,
  frame_bytes: 202,
};
