/** Times of the SDK connections in a durable run: short, as an app would have them behind a balancer. */
export const TIMES = {
  backoff: { base_ms: 100, max_ms: 2_000 },
  initial_attempts: Infinity,
  handshake_timeout_ms: 3_000,
  request_timeout_ms: 10_000,
};
