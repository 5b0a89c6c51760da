/** The metric of the expiry of client certificates, from files. */
import assert from "node:assert/strict";
import { testCertificate } from "../listeners/testing/certificate.ts";
import { createMetrics } from "../metrics/metrics.ts";
import { registerClientCertificates } from "./client_certificates.ts";

Deno.test("the end of each certificate that a server is shown is a metric, and a renewed file changes it", async () => {
  const end = new Date(Date.UTC(2027, 0, 2, 3, 4, 5));
  const files: Record<string, string> = {
    "nats.pem": (await testCertificate(undefined, end)).cert,
    "quota.pem": "x",
  };
  const registry = createMetrics({ node_id: "s1", version: "0" });
  registerClientCertificates(registry, {
    nats: { tls_cert_file: "nats.pem" },
    quota: { tls_cert_file: "quota.pem" },
  }, (path) => files[path]!);
  const ends = async () => {
    const page = await registry.metrics();
    const lines = page.matchAll(
      /^arqon_client_certificate_not_after_seconds\{server="(\w+)"\} (\d+)$/gm,
    );
    return [...lines].map(([, server, at]) => [server, Number(at)]);
  };
  const first = ["nats", end.getTime() / 1_000];
  assert.deepEqual(await ends(), [first], "what is no certificate has no end");
  files["quota.pem"] = (await testCertificate([25, 40])).cert;
  assert.deepEqual(await ends(), [first, ["quota", Date.UTC(2041, 0) / 1_000 - 1]]);
});
