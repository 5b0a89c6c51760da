/** A small connection storm on a real Shield with TLS: counts only. `deno task bench storm` measures the time. */
import assert from "node:assert/strict";
import { attempt, type Door, type Refused } from "../bench/storm/storm_handshake.ts";
import { Crowd } from "../bench/storm/storm_crowd.ts";
import { createIssuer, type Issuer, type ServerProcess, startServer } from "./harness/cluster.ts";
import { sampleAt } from "./harness/server_state.ts";
import { atEnd } from "../shared/testing/at_end.ts";

const TLS = new URL("tls/", import.meta.url).pathname;
const CLIENTS = 200;

interface Place extends AsyncDisposable {
  readonly issuer: Issuer;
  readonly shield: ServerProcess;
  readonly door: Door;
}

async function startDoor(limits: string, secure: boolean): Promise<Place> {
  const issuer = await createIssuer();
  const tls = secure ? `tls_cert = "${TLS}server.pem"\ntls_key = "${TLS}server_key.pem"\n` : "";
  const config = `${issuer.config}\n[limits]\n${limits}`;
  const shield = await startServer("shield", config, issuer.dir, `drain_ms = 0\n${tls}`);
  const url = shield.socket_url;
  const ca = secure ? { ca: await Deno.readTextFile(`${TLS}ca.pem`) } : {};
  return {
    issuer,
    shield,
    door: { url, ...ca },
    async [Symbol.asyncDispose]() {
      await shield.stop();
      await Deno.remove(issuer.dir, { recursive: true });
    },
  };
}

const metric = ({ shield }: Place, series: string) => sampleAt(shield.ready.ops_url, series);

Deno.test("a crowd that drops and returns at once reconnects completely; rejected clients get a retry delay", async () => {
  await using place = await startDoor("handshakes_per_second = 60\n", true);
  const tokens = await Promise.all(
    Array.from({ length: CLIENTS }, (_, index) => place.issuer.tokenFor({ sub: `user-${index}` })),
  );
  const crowd = new Crowd({ door: place.door, tokens, lanes: CLIENTS });
  await using _end = atEnd(() => crowd.close());
  assert.equal(await crowd.connect(), CLIENTS);
  const hits = await metric(place, "shield_token_cache_hits_total");
  const report = await crowd.storm();
  assert.deepEqual([report.handshake_ms.length, report.lost], [CLIENTS, 0]);
  assert.deepEqual([report.mute_refusals, report.other_refusals], [0, 0]);
  const waits = report.retry_after_ms;
  assert.ok(waits.length > 0, "the door was never closed");
  assert.ok(new Set(waits).size > waits.length / 4, `${new Set(waits).size} of ${waits.length}`);
  // All reconnected with their earlier token.
  assert.equal(await metric(place, "shield_token_cache_hits_total") - hits, CLIENTS);
  assert.equal(await metric(place, "shield_handshakes_under_way"), 0);
  assert.ok(
    await metric(place, 'shield_admission_refusals_total{reason="rate"}') >= waits.length,
  );
  assert.ok(await metric(place, "shield_handshake_duration_seconds_count") >= 2 * CLIENTS);
});

/** Connects until it was rejected that often; accepted connections are closed again. */
async function sentAway(place: Place, count: number): Promise<Refused[]> {
  const refusals: Refused[] = [];
  while (refusals.length < count) {
    const next = await attempt(place.door, "not.a.token");
    assert.ok(next.kind === "refused", next.kind);
    // When it is admitted, the token is refused.
    if (next.status === 401) continue;
    refusals.push(next);
  }
  return refusals;
}

Deno.test("a rejection is sent before a token is checked, in header and body, and also for checks", async () => {
  await using place = await startDoor("handshakes_per_second = 1\n", false);
  const refusals = await sentAway(place, 5);
  for (const { status, reason, retry_after_ms, retry_after_seconds } of refusals) {
    assert.deepEqual([status, reason], [503, "admission"]);
    assert.equal(retry_after_seconds, Math.ceil(retry_after_ms / 1_000));
    assert.ok(retry_after_ms >= 187, `${retry_after_ms}`);
  }
  const http = place.shield.ready["url"];
  const check = await fetch(`${http}/v1/auth/check`);
  assert.deepEqual([check.status, (await check.json()).reason], [503, "admission"]);
  assert.ok(Number(check.headers.get("retry-after")) > 0);
  // Publishing backends are not handshakes.
  const authorization = `Bearer ${await place.issuer.tokenFor()}`;
  const published = await fetch(`${http}/v1/rooms/lobby/messages`, {
    method: "POST",
    headers: { authorization, "content-type": "application/json" },
    body: '{"type":"t","data":1}',
  });
  await published.body?.cancel();
  assert.ok(published.ok, `${published.status}`);
});
