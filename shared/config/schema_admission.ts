/** The limits of letting clients in: handshakes, and the work that tokens cost. */
import { count } from "./values/schema_values.ts";

/** The keys of admission in `[limits]`. */
export const Admission = {
  handshakes_per_second: count(
    2_500,
    1_000_000,
    "upgrades admitted per second by this process; others get 503, each with its own Retry-After",
  ),
};
