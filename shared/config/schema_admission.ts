/** The limits of letting clients in: handshakes, and the work that tokens cost. */
import { z } from "zod";
import { count } from "./values/schema_values.ts";

/** The keys of admission in `[limits]`. */
export const Admission = {
  handshakes_per_second: count(
    2_500,
    1_000_000,
    "upgrades that this process lets in a second; one more gets 503 with a Retry-After of its own",
  ),
  handshake_burst: count(
    1_000,
    1_000_000,
    "upgrades that are let in at once after a quiet time, before handshakes_per_second counts",
  ),
  concurrent_handshakes: count(
    512,
    100_000,
    "upgrades that were let in and are not answered yet; one more gets 503",
  ),
  concurrent_verifications: count(
    32,
    1_024,
    "signatures of tokens that are verified side by side",
  ),
  waiting_verifications: count(
    2_048,
    1_000_000,
    "tokens that wait for their verification, or for the keys of an issuer; one more gets 503",
  ),
  token_cache_bytes: z.int().min(0).max(4_294_967_296).default(33_554_432).describe(
    "bytes of verified tokens that are remembered, so that a reconnect is not verified again; 0: none",
  ),
};
