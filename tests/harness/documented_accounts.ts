/** The NATS accounts that docs/run_nats.md tells operators to create, for tests that use them. */
import assert from "node:assert/strict";

/** The accounts that we ship for Kubernetes and with the Helm chart, in the same form. */
export async function shippedAccounts(): Promise<string> {
  const path = new URL("../../deploy/helm/arqonbus/files/nats_accounts.conf", import.meta.url);
  const text = await Deno.readTextFile(path);
  return text.replace(/^include .*$/m, "").replace(/\$[A-Z]+_PASSWORD\b/g, '"secret"');
}

/** Lines for a server's configuration file: users `shield` and `brain`, password `secret`. */
export async function documentedAccounts(): Promise<string> {
  const text = await Deno.readTextFile(new URL("../../docs/run_nats.md", import.meta.url));
  const block = /^authorization \{$[^]*?^\}$/m.exec(text)?.[0];
  assert.ok(block !== undefined, "docs/run_nats.md has no accounts");
  return block.replaceAll("…", "secret");
}
