// Waits that a stop signal ends.
import assert from "node:assert/strict";
import { pause } from "./waiting.ts";

Deno.test("a pause ends at once when everything stops", async () => {
  const stop = new AbortController();
  const waiting = pause(3_600_000, stop.signal);
  stop.abort();
  await waiting;
  await pause(3_600_000, stop.signal);
});
