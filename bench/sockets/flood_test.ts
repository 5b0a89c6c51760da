/** The effect of a flood on a clean client, from invented rows. */
import assert from "node:assert/strict";
import { floodEffects } from "./flood.ts";

Deno.test("a flood is compared only with the calm phase of the same sockets and limits", () => {
  const about = {
    limits: "default",
    silence_ms: 1,
    client_waited_ms: 1,
    shield_waited_ms: 1,
    flooded_megabytes: 1,
    connections: 1,
  };
  const effects = floodEffects([
    { ...about, websocket: "own", flood: "none", p99_ms: 10 },
    { ...about, websocket: "own", limits: "tight", flood: "none", p99_ms: 1 },
    { ...about, websocket: "own", flood: "small", p99_ms: 19 },
    { ...about, websocket: "native", flood: "big", p99_ms: 15 },
  ]);
  assert.deepEqual(effects, [
    { websocket: "own", times: 1.9 },
    { websocket: "native", times: NaN },
  ]);
});
