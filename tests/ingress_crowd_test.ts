/**
 * The configuration that the Helm chart ships behind a real nginx, as its Ingress is one, with a thousand clients of a
 * thousand addresses at once: all are let in, or answered 503 with a time. Only addresses and files are others. The
 * same where nobody has told the Shield of its proxy, and all are one address: then it says so.
 */
import assert from "node:assert/strict";
import { crowd, loopbackOf } from "./crowd/crowd.ts";
import { moved, startFrom } from "./deployed_files.ts";
import { createIssuer } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { startNginx } from "./proxies/proxies.ts";

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
    const { inside, told, others } = report;
    assert.deepEqual(others, {}, `${nginx.log()}\n${shield.log()}`);
    assert.equal(inside + told, CLIENTS);
    const warnings = shield.log().split("\n").filter((line) => line.includes("not believed"));
    assert.equal(warnings.length, proxies === "[]" ? 1 : 0, warnings.join("\n"));
  });
}
