/**
 * Silent connections, many more than the system has file descriptors for, at a bus with each kind of socket: clients
 * notice nothing, and a new one is admitted.
 */
import assert from "node:assert/strict";
import { testCertificate } from "../shared/listeners/testing/certificate.ts";
import { OUT_OF_FILES, runStrangers, sample } from "./strangers/strangers.ts";

const STRANGERS = 3_000;

const MANY =
  "strangers = 100000\n#constant limits.strangers_per_address = 100000\n#constant limits.descriptors_reserved = 200";

for (const websocket of ["native", "own"] as const) {
  for (const secure of [false, true]) {
    const kind = `${websocket}${secure ? ", TLS" : ""}`;
    const tls = async () => secure ? { tls: await testCertificate() } : {};
    // The runtime ends no handshake that has begun.
    if (kind === "native, TLS") continue;

    Deno.test(`thousands of idle strangers are bounded, and nobody else is hurt (${kind})`, async () => {
      const { metrics, echoes } = await runStrangers({
        websocket,
        limits: "strangers = 400",
        files: 900,
        strangers: STRANGERS,
        at_once: 1_500,
        ...await tls(),
      });
      assert.equal(echoes, STRANGERS / 100 + 1);
      const strangers_now = sample(metrics, "shield_strangers");
      // Those with a slot, and those whose request is awaited before they are refused.
      assert(strangers_now >= 0 && strangers_now <= 300 + 400, `${strangers_now} strangers`);
      // Those that wait for admission use files, too: on a busy machine files run out before the slots do.
      const ended = ["address", "total"]
        .reduce(
          (sum, bound) => sum + sample(metrics, `shield_strangers_ended_total{bound="${bound}"}`),
          0,
        );
      assert(ended > 1_000, `${ended} were ended`);
      assert.equal(sample(metrics, "shield_accept_failures_total"), 0);
    });

    Deno.test(`when files run out, strangers release theirs, and everything continues (${kind})`, async () => {
      const { metrics, log } = await runStrangers({
        websocket,
        limits: MANY,
        files: 700,
        strangers: STRANGERS,
        at_once: 1_500,
        ...await tls(),
      });
      assert.match(log, OUT_OF_FILES);
      const ended = sample(metrics, 'shield_strangers_ended_total{bound="total"}');
      assert(ended > 1_000, `${ended} were ended`);
      assert.equal(sample(metrics, "shield_listener_reopened_total"), 0);
    });
  }
}

Deno.test("when files run out, and unauthenticated connections close, everything continues (native, TLS)", async () => {
  const { metrics, log } = await runStrangers({
    websocket: "native",
    limits: MANY,
    files: 700,
    strangers: 900,
    at_once: 900,
    tls: await testCertificate(),
    leave: true,
  });
  assert.match(log, OUT_OF_FILES);
  assert.equal(sample(metrics, "shield_listener_reopened_total"), 0);
});
