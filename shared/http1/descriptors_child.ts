/**
 * A listener that runs out of file descriptors, for `descriptors_test.ts`: prints its port, then serves. Its argument
 * is a pair for TLS, as JSON.
 */
import { listenBare } from "./listener.ts";

// As a Shield does: in Deno 2.9 adding the first signal listener panics if no descriptor is left.
Deno.addSignalListener("SIGTERM", () => Deno.exit(0));
const MANY = 100_000;
const ms = 60_000;
const limits = {
  strangers: MANY,
  strangers_per_address: MANY,
  head_ms: ms,
  body_ms: ms,
  idle_ms: ms,
  answer_ms: ms,
  descriptors: MANY,
};
const listener = await listenBare({
  host: "127.0.0.1",
  port: 0,
  tls: Deno.args[0] === undefined ? undefined : JSON.parse(Deno.args[0]),
  limits,
  onGone(error) {
    console.log(`gone: ${error.message}`);
    Deno.exit(1);
  },
  handler: () => Response.json({ failures: listener.stats.accept_failures }),
});
console.log(listener.port);
const watch = setInterval(() => {
  if (listener.stats.accept_failures === 0) return;
  clearInterval(watch);
  console.log("no files");
}, 10);
