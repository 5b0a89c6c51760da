/** The tables of `config.toml` for presence and rooms. A part of `schema.ts`, which puts them together. */
import { z } from "zod";
import { count, fraction, roomPattern } from "./values/schema_values.ts";

/** `[presence]`: who is in which room. */
export const Presence = z.strictObject({
  grace: z.array(z.strictObject({
    room: roomPattern.describe("room id or prefix pattern"),
    grace_ms: count(5_000, 600_000, "how long a lost connection's member waits for its user"),
  })).default([]).describe(
    "grace period of a lost connection (not one that left) by room; the first match counts",
  ),
});

/** `[brain]`: the state of rooms. */
export const Brain = z.strictObject({
  tap: z.union([z.boolean(), fraction]).default(0.01).describe(
    "fraction of messages that the Brain logs, log.lines_per_second at most; false is 0 (no tap at all), true is 1",
  ),
  state_bytes: count(262_144, 786_432, "size of one room's state document"),
  rooms_in_memory: count(1_000, 10_000_000, "rooms whose document this Brain keeps in memory"),
  rooms_per_tenant: count(100_000, 100_000_000, "rooms of one tenant"),
  room_bytes_per_tenant: z.int().min(1_048_576).max(1_099_511_627_776).default(67_108_864).describe(
    "bytes of one tenant's rooms in the storage of rooms; at most a quarter of it, if it is bounded",
  ),
  idle_timeout_ms: z.int().min(0).max(31_536_000_000).default(3_600_000).describe(
    "a room without members and commands for this long ends with its state; 0: never",
  ),
  reducer_fuel_per_second: count(
    2_000_000,
    1_000_000_000_000,
    "reducers' fuel per second and tenant on this Brain, with timers; burst: twice that; 2,000,000 is at most one core",
  ),
});
