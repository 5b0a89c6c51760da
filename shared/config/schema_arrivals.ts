/** The limits of connections that have shown no token yet, and of plain HTTP: how many, how long. */
import { z } from "zod";
import { count } from "./values/schema_values.ts";

const ms = (preset: number, what: string) =>
  z.int().min(100).max(600_000).default(preset).describe(what);

/** The keys of arriving connections in `[limits]`. */
export const Arrivals = {
  strangers: count(
    1_024,
    100_000,
    "connections of this process without a token so far; one more turns the oldest away: 503 admission, or an end where its request does not come",
  ),
  strangers_per_address: count(
    768,
    100_000,
    "the same of one address, or one /64 of IPv6; above concurrent_handshakes, so that admission speaks first",
  ),
  // Go's and hyper's pools keep a connection for 90 s: whoever reuses one does not race its end.
  keep_alive_ms: ms(
    95_000,
    "how long a connection waits for its next request; longer than a load balancer or a client's pool keeps it",
  ),
  listener_probe_ms: ms(
    2_000,
    "how often the process asks its own client port, and what an answer may take; two without one, and it is not ready",
  ),
  listener_gone_ms: ms(
    30_000,
    "a port that could not accept, answer or be opened anew for so long is gone: the process ends with 1",
  ),
  descriptors_reserved: count(
    256,
    100_000,
    "files that clients leave to the other listeners, the Spine and policies; half of them where there are fewer than twice as many",
  ),
};
