/**
 * The bucket of schemas on a real NATS with the accounts that docs/operations.md gives, two Shields as
 * processes and `arq`: what a tool puts by the NATS client alone is in force on both, or refused.
 */
import assert from "node:assert/strict";
import { gunzipSync } from "node:zlib";
import { Kvm } from "@nats-io/kv";
import { connect } from "@nats-io/transport-deno";
import { runArq } from "../arq/testing/run_arq.ts";
import { until } from "../shared/testing/until.ts";
import { incompatiblePing, ping } from "../shield/schema/testing/schemas.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import type { ServerProcess } from "./harness/cluster.ts";
import { documentedAccounts } from "./harness/documented_accounts.ts";
import { startNats } from "./harness/nats_server.ts";

const ID = "v1.events.user_created";
const MAPPED = `
[[platform.registry.mappings]]
subject = "in.t.acme.r.users"
schema_id = "${ID}"
message = "t.Ping"
unknown_fields = "refuse"
`;

async function operatorsSee(admin_url: string, token: string): Promise<void> {
  const flags = ["--admin-url", admin_url, "--token", token];
  const list = await runArq(["schema", "list", ...flags]);
  assert.equal(list.code, 0, list.stderr);
  assert.match(list.stdout, /v1\.events\.user_created +2 +2 +BACKWARD/);
  assert.match(list.stdout, /^refused no\/id: its key is no schema id: .*; nothing serves$/m);
  assert.match(
    list.stdout,
    /^refused v1\.events\.user_created \(.*\): not compatible .*version 2 serves$/m,
  );
  const got = await runArq(["schema", "history", ID, ...flags]);
  assert.match(got.stdout, /^2 .*ARQON_SCHEMAS/m);
  const admin = new AdminClient(admin_url, token);
  for (const path of [ID, `${ID}/versions/latest`, "no-such", "nobody.knows/versions/1"]) {
    const { status } = await admin.ask("GET", `/v1/schemas/${path}`);
    assert.ok([200, 404].includes(status), `${status} ${path}`);
  }
}

Deno.test("a tool's set is the next version on every Shield, or refused and told by all of them", async () => {
  await using nats = await startNats({ jetstream: true, config: await documentedAccounts() });
  const issuer = await createIssuer();
  await using cleanup = new AsyncDisposableStack();
  cleanup.defer(() => Deno.remove(issuer.dir, { recursive: true }));
  const spine = `[nats]\nurls = ["nats://shield:secret@127.0.0.1:${nats.port}"]\n`;
  const start = () => startServer("shield", spine + issuer.config + MAPPED, issuer.dir);
  await using one = await start();
  await using two = await start();
  const user = await issuer.tokenFor({ tenant_id: "acme" });
  const publish = async (shield: ServerProcess, data: unknown) => {
    const response = await fetch(`${shield.ready.url}/v1/rooms/users/messages`, {
      method: "POST",
      headers: { authorization: `Bearer ${user}`, "content-type": "application/json" },
      body: JSON.stringify({ type: "user", data }),
    });
    const { detail = "" } = await response.json();
    return `${response.status} ${detail}`;
  };
  const bothSay = (data: unknown, answer: RegExp) =>
    until(
      `${JSON.stringify(data)}: ${answer}`,
      async () => answer.test(await publish(one, data)) && answer.test(await publish(two, data)),
    );
  await bothSay(
    { n: 1 },
    /^503 Schema unavailable: v1\.events\.user_created: it is not registered/,
  );

  const options = { servers: nats.url, user: "shield", pass: "secret" };
  const connection = await connect({ ...options, servers: `127.0.0.1:${nats.port}` });
  cleanup.defer(() => connection.close());
  const bucket = await new Kvm(connection).open("ARQON_SCHEMAS");
  await bucket.put(ID, ping());
  await bothSay({ n: 1 }, /^200 /);
  assert.equal(await publish(two, { text: "x" }), "400 Schema violation: n: required");
  const second = ping(["extra", 99, "int32"]);
  await bucket.put(ID, second);
  await bothSay({ n: 1, extra: 2 }, /^200 /);

  await bucket.put(ID, incompatiblePing());
  await bucket.put("no/id", "hello");
  for (const { ready } of [one, two]) {
    const health = async () => {
      const answer = await (await fetch(`${ready.ops_url}/health/ready`)).json();
      return `${answer.status} ${answer.checks.schemas.detail}`;
    };
    await until("the detail", async () => /^ok 1 schema, 2 refused/.test(await health()));
    const metrics = await (await fetch(`${ready.ops_url}/metrics`)).text();
    assert.match(metrics, /^shield_schema_refused 2$/m);
  }
  await until("the last known good", async () => {
    const value = (await bucket.get(ID))?.value ?? new Uint8Array(0);
    return Buffer.from(value).equals(second);
  });
  await bothSay({ n: 1, extra: 2 }, /^200 /);
  const current = await bucket.get(ID);
  assert.deepEqual(gunzipSync(current?.value ?? ""), gunzipSync(second));

  const token = await issuer.tokenFor({ role: "admin", sub: "root" });
  await operatorsSee(two.ready.admin_url ?? "", token);
  for (const { log } of [one, two]) {
    assert.doesNotMatch(log(), /Permissions Violation|denied/i);
    assert.match(
      log(),
      /level=error component=registry .* schema=v1\.events\.user_created .*is refused/,
    );
  }
});
