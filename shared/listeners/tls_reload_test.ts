/** TLS certificates that change under running listeners, with real handshakes; all kinds of listener. */
import assert from "node:assert/strict";
import { ConfigError, configFrom } from "../config/load.ts";
import { until } from "../testing/until.ts";
import { listenClient, type Listener } from "./listen.ts";
import { keptLog } from "../testing/logs.ts";
import { createMetrics } from "../metrics/metrics.ts";
import { testCertificate } from "./testing/certificate.ts";
import {
  CertificateError,
  followTls,
  requireClientCertificates,
  requireUsable,
  requireUsableAs,
} from "./tls_reload.ts";
import type { TlsPair } from "../http1/door.ts";

const EVERY_MS = 5;
const NOW_MS = Date.UTC(2026, 10, 20);

/** Whether a client that trusts only this certificate is answered. */
async function answered(listener: Listener, { cert }: TlsPair): Promise<boolean> {
  using client = Deno.createHttpClient({ caCerts: [cert] });
  try {
    const response = await fetch(listener.url, { client });
    return await response.text() === "hello";
  } catch (error) {
    assert.ok(error instanceof TypeError);
    return false;
  }
}

for (const websocket of ["native", "own"] as const) {
  Deno.test(`another certificate is served without a restart, a bad one never (${websocket})`, async () => {
    const first = await testCertificate();
    const second = await testCertificate();
    const { log, lines } = keptLog({ level: "info", now: () => 0 });
    const registry = createMetrics({ node_id: "s1", version: "0" });
    const listener = await listenClient({
      name: "client",
      host: "127.0.0.1",
      port: 0,
      handler: () => new Response("hello"),
      tls: first,
      websocket,
    });
    let files: TlsPair | undefined = first;
    const read = () => {
      if (files === undefined) throw new Error("no such file");
      return files;
    };
    const renew = (pair: TlsPair) => listener.renew(pair);
    {
      using _following = followTls({
        served: first,
        read,
        renew,
        registry,
        log,
        now: Date.now,
        every_ms: EVERY_MS,
      });
      assert.equal(await answered(listener, first), true);
      assert.equal(await answered(listener, second), false);
      files = { cert: second.cert, key: first.key };
      await until("half a pair is reported", () => lines.length === 1);
      files = undefined;
      await until("missing files are reported", () => lines.length === 2);
      files = { cert: "not PEM", key: second.key };
      await until("invalid PEM is reported", () => lines.length === 3);
      assert.equal(await answered(listener, first), true, "the one before is served");
      files = second;
      await until("the new pair is served", () => lines.length === 4);
    }
    assert.equal(await answered(listener, second), true);
    assert.equal(await answered(listener, first), false);
    assert.deepEqual(lines.map((line) => /level=(\w+)/.exec(line)?.[1]), [
      ...["error", "error", "error", "info"],
    ]);
    assert.doesNotMatch(lines.join(""), /PRIVATE KEY|BEGIN/);
    assert.match(
      await registry.metrics(),
      /shield_tls_reloads_total\{listener="client",result="refused"\} 3/,
    );
    await listener.close();
  });
}

Deno.test("a pair that no client would accept is refused with the cause, and invalid PEM as a configuration error", async () => {
  const one = await testCertificate();
  const other = await testCertificate();
  const past = await testCertificate([20, 21]);
  const future = await testCertificate([48, 49]);
  const check = (pair: TlsPair) => requireUsableAs("ops", pair, NOW_MS);
  requireUsable(one, NOW_MS);
  requireUsableAs("ops", undefined, NOW_MS);
  check(one);
  const causes = [
    [past, /^\[ops\] tls_cert: the certificate ended on 2021-12-31$/],
    [future, /^\[ops\] tls_cert: the certificate is good from 2048-01-01 on$/],
    [{ cert: one.cert, key: other.key }, /^\[ops\] tls_cert: tls_key is of another certificate$/],
  ] as const;
  for (const [pair, cause] of causes) {
    assert.throws(() => requireUsable(pair, NOW_MS));
    assert.throws(() => check(pair), (error) => {
      assert.ok(error instanceof CertificateError);
      assert.match(error.message, cause);
      return true;
    });
  }
  for (const pair of [{ ...one, cert: "x" }, { ...one, key: "x" }]) {
    assert.throws(() => check(pair), ConfigError);
  }
});

Deno.test("an expired or future client certificate is refused by its key; unreadable ones are reported elsewhere", async () => {
  const files: Record<string, string> = {
    good: (await testCertificate()).cert,
    past: (await testCertificate([20, 21])).cert,
    text: "x",
  };
  const check = (tls_cert_file: string) =>
    requireClientCertificates(
      configFrom({ nats: { urls: ["nats://h"], tls_cert_file, tls_key_file: "k" } }),
      (path) => files[path]!,
      NOW_MS,
    );
  for (const path of ["good", "text", "gone"]) check(path);
  assert.throws(() => check("past"), (error) => {
    assert.ok(error instanceof CertificateError);
    assert.deepEqual(
      [error.key, error.message],
      ["nats.tls_cert_file", "[nats] tls_cert_file: the certificate ended on 2021-12-31"],
    );
    return true;
  });
});

Deno.test("a pair that the clock alone forbids is reported once, and served as soon as the clock permits it", async () => {
  const first = await testCertificate([25, 40]);
  const early = await testCertificate([27, 41]);
  const past = await testCertificate([20, 25]);
  const other = await testCertificate([27, 42]);
  const half = { cert: early.cert, key: other.key };
  const registry = createMetrics({ node_id: "s1", version: "0" });
  const served = [first];
  const { log, lines } = keptLog({ level: "info" });
  let files = first;
  let now_ms = NOW_MS;
  let looks = 0;
  using _following = followTls({
    served: first,
    registry,
    log,
    every_ms: EVERY_MS,
    now: () => now_ms,
    read: () => (looks++, files),
    renew: (pair) => Promise.resolve(void served.push(pair)),
  });
  const looksAgain = async () => {
    const before = looks;
    await until("it checks again", () => looks > before + 2);
  };
  // The authority's clock is ahead of this one.
  files = early;
  await until("it is not in force yet", () => lines.length === 1);
  assert.match(lines[0] ?? "", /problem="the certificate is good from 2027-01-01 on"/);
  await looksAgain();
  now_ms = Date.UTC(2027, 0, 1, 0, 0, 1);
  await until("it is served", () => served.length === 2);
  // The clock steps past its end, and back: it stays in use.
  now_ms = Date.UTC(2045, 0);
  await looksAgain();
  files = past;
  await until("another one has ended", () => lines.length === 3);
  await looksAgain();
  now_ms = Date.UTC(2025, 5);
  await until("the clock was wrong: it is served", () => served.length === 3);
  // A problem that no clock can solve is checked once.
  files = half;
  await until("half a pair is reported", () => lines.length === 5);
  now_ms = Date.UTC(2028, 0);
  await looksAgain();
  assert.deepEqual(served, [first, early, past]);
  assert.equal(lines.length, 5, lines.join(""));
});

Deno.test("an expired certificate is not applied, and the metric has the expiry of the current one", async () => {
  const first = await testCertificate([25, 40]);
  const past = await testCertificate([20, 21]);
  const second = await testCertificate([25, 41]);
  const registry = createMetrics({ node_id: "s1", version: "0" });
  const served = [first];
  const { log, lines } = keptLog({ level: "info" });
  let files = first;
  const ends = async () =>
    /brain_tls_certificate_not_after_seconds\{listener="ops"\} (\d+)/
      .exec(await registry.metrics())?.[1];
  using _following = followTls({
    served: first,
    registry,
    log,
    every_ms: EVERY_MS,
    listener: "ops",
    part: "brain",
    now: () => NOW_MS,
    read: () => files,
    renew: (pair) => Promise.resolve(void served.push(pair)),
  });
  assert.equal(Number(await ends()), Date.UTC(2041, 0) / 1_000 - 1);
  files = past;
  await until("it is notified", () => lines.length === 1);
  assert.match(lines[0] ?? "", /problem="the certificate ended on 2021-12-31"/);
  files = second;
  await until("the good one is reported", () => lines.length === 2);
  assert.deepEqual(served, [first, second]);
  assert.equal(Number(await ends()), Date.UTC(2042, 0) / 1_000 - 1);
});
