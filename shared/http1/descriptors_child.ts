/** A listener that is to run out of files, for `descriptors_test.ts`: says its port, then serves. */
import { listenBare } from "./listener.ts";

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
const listener = listenBare({
  host: "127.0.0.1",
  port: 0,
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
