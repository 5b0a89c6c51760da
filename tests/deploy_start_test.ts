/**
 * The configurations of containers and charts, on real processes: they start, become ready, accept messages and end,
 * and many clients come through the chart's Ingress. Only addresses, paths and the form of the log differ. No container
 * is started: docs/deploy.md.
 */
import assert from "node:assert/strict";
import { importJWK, SignJWT } from "@panva/jose";
import { ensureDevKeys } from "../deploy/docker/dev_keys.ts";
import { problemAt } from "../deploy/docker/health.ts";
import { crowd, loopbackOf } from "./crowd/crowd.ts";
import { moved, startFrom } from "./deployed_files.ts";
import { createIssuer, type ServerProcess } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { startValkey } from "./harness/valkey_server.ts";
import { startNginx } from "./proxies/proxies.ts";
import { atEnd } from "../shared/testing/at_end.ts";
import { send } from "./peers/own_connections.ts";

// The configurations of compose.yaml on real processes. `production/` runs those for Kubernetes: they start on the
// cluster of three, accept messages, and end with 0 on SIGTERM.

/** Publishes by HTTP with a token of the key in `dir`; returns the status. */
async function publish(shield: ServerProcess, dir: string, issuer: string): Promise<number> {
  const jwk = JSON.parse(await Deno.readTextFile(`${dir}/arqon-private.jwk.json`));
  const token = await new SignJWT({ tenant_id: "acme", role: "user", sub: "ann" })
    .setProtectedHeader({ alg: "RS256", kid: jwk.kid }).setIssuer(issuer).setAudience("arqon")
    .setExpirationTime("5m").sign(await importJWK(jwk, "RS256"));
  const message = { type: "chat", data: { text: "hello" } };
  const url = `${shield.ready.url}/v1/rooms/lobby/messages`;
  const response = await send(url, token, "POST", message);
  await response.body?.cancel();
  return response.status;
}

/** Both become ready, a message is accepted, and both end when told to. */
async function serveAndStop(shield: ServerProcess, brain: ServerProcess, dir: string, iss: string) {
  for (const { ready } of [brain, shield]) {
    for (const state of ["live", "ready"]) {
      assert.equal(await problemAt(`${ready.ops_url}/health/${state}`), undefined);
    }
  }
  assert.equal(await publish(shield, dir, iss), 200, shield.log());
  // 1 when a process exceeds drain_timeout_ms, for which containers get enough time.
  assert.equal((await shield.stop()).code, 0, shield.log());
  assert.match(await problemAt(`${shield.ready.ops_url}/health/live`) ?? "", /./);
  assert.equal((await brain.stop()).code, 0, brain.log());
}

Deno.test("the configurations of compose.yaml start, serve and stop", async () => {
  const dir = await Deno.makeTempDir({ prefix: "arqon-compose-" });
  await using _end = atEnd(() => Deno.remove(dir, { recursive: true }));
  assert.equal(await ensureDevKeys(dir, dir), "made");
  assert.equal(await ensureDevKeys(dir, dir), "kept");
  assert.equal((await Deno.stat(`${dir}/arqon-private.jwk.json`)).mode! & 0o777, 0o600);
  await using nats = await startNats({
    config: moved("nats/nats.conf", [
      ['listen: "0.0.0.0:4222"\n', ""],
      ["0.0.0.0:8222", "127.0.0.1:-1"],
      ['"/data"', `"${dir}/js"`],
    ]),
  });
  await using valkey = await startValkey();
  const spine = ["nats://nats:4222", nats.url] as const;
  const jaeger = ["http://jaeger:4318", "http://127.0.0.1:1"] as const;
  await using brain = await startFrom("brain", moved("compose/brain.toml", [spine, jaeger]), dir);
  const config = moved("compose/shield.toml", [
    spine,
    jaeger,
    ["redis://valkey:6379", valkey.url],
    ["/etc/arqon/issuer", dir],
  ]);
  await using shield = await startFrom("shield", config, dir);
  assert.equal(shield.ready.node_id, "shield");
  await serveAndStop(shield, brain, dir, "arqon-dev");
});

// The configuration of the Helm chart behind a real nginx that works like its Ingress, with a thousand clients from a
// thousand addresses at once: all are admitted, or answered 503 with a retry time. Only addresses and files differ. The
// same when the Shield does not know its proxy, and all have one address: then it reports that.

const CLIENTS = 1_000;
const NETWORKS = '["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"]';

for (
  const [name, proxies] of [["", '["127.0.0.1"]'], [", which nobody has told it of", "[]"]] as const
) {
  Deno.test(`${CLIENTS} clients at once through the chart's Ingress${name}: in, or 503 with a time`, async () => {
    await using nats = await startNats({ jetstream: true });
    await using issuer = await createIssuer();
    const config = moved("helm/arqonbus/files/shield.toml", [
      [`trusted_proxies = ${NETWORKS}`, `trusted_proxies = ${proxies}`],
      ["tls://nats:4222", nats.url],
      ['user = "shield"\npassword_file = "/etc/arqon/nats/password"\n', ""],
      ['tls_ca_file = "/etc/arqon/nats/ca.crt"\n', ""],
      ["https://issuer.example", "test"],
      ['jwks_file = "/etc/arqon/issuer/jwks.json"', `pem_file = "${issuer.dir}/public.pem"`],
      ['"json"', '"logfmt"'],
    ]);
    await using shield = await startFrom("shield", config, issuer.dir);
    const { port } = new URL(shield.ready["url"] ?? "");
    await using nginx = await startNginx(Number(port));
    const token = await issuer.tokenFor();
    const options = {
      port: nginx.port,
      path: "/v1/socket",
      token,
      count: CLIENTS,
      addressOf: loopbackOf,
    };
    using report = await crowd(options);
    const { inside, refused, others } = report;
    assert.deepEqual(others, {}, `${nginx.log()}\n${shield.log()}`);
    assert.equal(inside + refused, CLIENTS);
    const warnings = shield.log().split("\n").filter((line) => line.includes("is not trusted"));
    assert.equal(warnings.length, proxies === "[]" ? 1 : 0, warnings.join("\n"));
  });
}
