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
    "connections of this process without a token so far; one more ends the oldest: 503 admission, or a close if it sent no request",
  ),
  // Go's and hyper's pools keep a connection for 90 s: whoever reuses one does not race its end.
  keep_alive_ms: ms(
    95_000,
    "idle time of a connection between requests; longer than a load balancer or a client's pool keeps it",
  ),
};
