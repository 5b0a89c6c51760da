/** TLS certificates that change under running listeners, with real handshakes; all kinds of listener. */
import assert from "node:assert/strict";
import { until } from "../testing/until.ts";
import { listenClient } from "./listen.ts";
import type { Listener } from "./listen.ts";
import { createLogger } from "../logs/log.ts";
import { createMetrics } from "../metrics/metrics.ts";
import { testCertificate } from "./testing/certificate.ts";
import { followTls, requireUsable } from "./tls_reload.ts";
import type { TlsPair } from "./tls_reload.ts";

const EVERY_MS = 5;

/** Whether somebody who trusts only this certificate is answered. */
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
    const [first, second] = [await testCertificate(), await testCertificate()];
    const lines: string[] = [];
    const write = (line: string) => void lines.push(line);
    const log = createLogger({
      level: "info",
      format: "logfmt",
      component: "shield",
      now: () => 0,
      write,
    });
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
        every_ms: EVERY_MS,
      });
      assert.equal(await answered(listener, first), true);
      assert.equal(await answered(listener, second), false);
      files = { cert: second.cert, key: first.key };
      await until("half a pair is told", () => lines.length === 1);
      files = undefined;
      await until("missing files are told", () => lines.length === 2);
      files = { cert: "not PEM", key: second.key };
      await until("what is no PEM is told", () => lines.length === 3);
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

Deno.test("a key of another certificate is no pair", async () => {
  const [one, other] = [await testCertificate(), await testCertificate()];
  requireUsable(one);
  assert.throws(() => requireUsable({ cert: one.cert, key: other.key }));
});
