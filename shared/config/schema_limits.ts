/** `[limits]`: how much, how many and how long. A part of `schema.ts`. */
import { z } from "zod";
import { count } from "./values/schema_values.ts";

const MESSAGES_MAX = 10_000_000;
const BYTES_MAX = 10_737_418_240;
/**
 * The default rate limit: several times what one core can process. A bus with several tenants in one process needs a
 * lower one.
 */
const MESSAGES = 1_000_000;
const BYTES = 4_294_967_296;

/** `[limits]`. */
export const LimitsTable = z.strictObject({
  memory_bytes: z.int().min(268_435_456).max(1_099_511_627_776).default(2_147_483_648).describe(
    "resident memory of the process; from 45 % the guard looks for clients with unfinished messages, and the process ends before the limit",
  ),
  max_frame_bytes: z.int().min(1_024).max(16_777_216).default(262_144).describe(
    "largest frame or HTTP body; above: 413, and a protocol error for a frame",
  ),
  // Every burst is two seconds' worth.
  messages_per_second: count(
    20_000,
    MESSAGES_MAX,
    "operations a second and connection; burst: twice that",
  ),
  bytes_per_second: count(
    33_554_432,
    BYTES_MAX,
    "bytes a second and connection; burst: twice that",
  ),
  user_messages_per_second: count(
    MESSAGES,
    MESSAGES_MAX,
    "operations per second of a user, over all connections and HTTP requests; burst: twice that",
  ),
  tenant_messages_per_second: count(
    MESSAGES,
    MESSAGES_MAX,
    "operations per second of a tenant in this process; burst: twice that",
  ),
  tenant_bytes_per_second: count(
    BYTES,
    BYTES_MAX,
    "bytes per second of a tenant in this process; burst: twice that",
  ),
  process_messages_per_second: count(
    MESSAGES,
    MESSAGES_MAX,
    "operations per second of this process, shared fairly by tenants; burst: twice that",
  ),
  handshakes_per_second: count(
    2_500,
    1_000_000,
    "upgrades admitted per second by this process; others get 503, each with its own Retry-After",
  ),
  strangers: count(
    1_024,
    100_000,
    "connections of this process without a token so far; one more ends the oldest: 503 admission, or a close if it sent no request",
  ),
  // Connection pools of Go and hyper keep a connection for 90 s: with a longer time here, a client that reuses one does
  // not race its end.
  keep_alive_ms: z.int().min(100).max(600_000).default(95_000).describe(
    "idle time of a connection between requests; longer than a load balancer or a client's pool keeps it",
  ),
  rooms_per_connection: count(
    1_024,
    1_000_000,
    "subscriptions of one connection, to rooms and patterns",
  ),
  connections_per_user: count(
    12_000,
    10_000_000,
    "open connections of one user (issuer and subject)",
  ),
  connections_per_tenant: count(
    16_000,
    10_000_000,
    "open connections of one tenant in this process",
  ),
  connections_per_process: count(
    18_000,
    10_000_000,
    "open connections of this process; keep below the file limit",
  ),
  unsent_bytes: z.int().min(65_536).max(1_073_741_824).default(4_194_304).describe(
    "bytes waiting for one connection; above: close 4429",
  ),
});
