/** The runtime's pings of a native socket, and this protocol's heartbeat. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { SWEEP_MS } from "../connection/sweep.ts";
import { idleTimeout_seconds } from "./native.ts";

Deno.test("the runtime pings only clients with an unanswered PING, for any heartbeat", () => {
  fc.assert(fc.property(fc.integer({ min: 1_000, max: 600_000 }), (heartbeat_ms) => {
    const ping_ms = idleTimeout_seconds(heartbeat_ms) * 1_000 / 2;
    // Our PING is sent in the first sweep after a heartbeat without a message.
    assert.ok(ping_ms >= heartbeat_ms + SWEEP_MS + 500, `${ping_ms} for ${heartbeat_ms}`);
    assert.ok(ping_ms <= 2 * heartbeat_ms + 1_000, "dead peers are found soon");
  }));
});
