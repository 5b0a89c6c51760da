/** Requests of backends by NATS that are refused: each with the reason that HTTP has, and as NATS services say it. */
import assert from "node:assert/strict";
import { headers } from "@nats-io/nats-core";
import { connect } from "@nats-io/transport-deno";
import { createIssuer, startServer } from "./harness/cluster.ts";
import { documentedAccounts } from "./harness/documented_accounts.ts";
import { startNats } from "./harness/nats_server.ts";

const utf8 = new TextEncoder();

Deno.test("what a backend may not ask by NATS is refused with its reason, and nothing is published", async () => {
  await using issuer = await createIssuer();
  await using server = await startNats({ jetstream: true, config: await documentedAccounts() });
  const url = server.url.replace("nats://", "nats://shield:secret@");
  const config = `[nats]\nurls = ["${url}"]\napi = true\n[[rooms]]\nroom = "orders-*"\n` +
    `durable = true\n${issuer.config}`;
  await using shield = await startServer("shield", config, issuer.dir);
  const login = { servers: new URL(server.url).host, user: "backend", pass: "secret" };
  const nats = await connect({ ...login, inboxPrefix: "_INBOX_BACKEND" });
  const token = await issuer.tokenFor({ role: "service", sub: "billing" });
  const other = await issuer.tokenFor({ role: "service", sub: "billing", tenant_id: "globex" });
  const reader = await issuer.tokenFor({ grants: [{ room: "orders-*", actions: ["subscribe"] }] });
  const ask = async (
    verb: string,
    body: string | Uint8Array,
    bearer: string | undefined = token,
  ) => {
    const head = headers();
    if (bearer !== "") head.set("authorization", `Bearer ${bearer}`);
    const payload = typeof body === "string" ? utf8.encode(body) : body;
    const answer = await nats.request(`api.t.acme.r.orders-1.${verb}`, payload, {
      headers: head,
      timeout: 20_000,
    });
    const code = answer.headers?.get("Nats-Service-Error-Code") ?? "";
    return { code, reason: answer.headers?.get("Nats-Service-Error"), body: answer.string() };
  };
  const order = JSON.stringify({ type: "order", data: { n: 1 } });
  const cases = [
    [await ask("publish", order, ""), "401", "token-missing"],
    [await ask("publish", order, "nothing"), "401", "token-malformed"],
    [await ask("publish", order, other), "403", "tenant-mismatch"],
    [await ask("publish", order, reader), "403", "not-granted"],
    [await ask("publish", "{"), "400", "malformed-frame"],
    [await ask("publish", ""), "400", "malformed-body"],
    [await ask("publish", new Uint8Array(300_000)), "413", "too-large"],
    [await ask("publish", '{"room":"other","type":"x"}'), "400", undefined],
    [await ask("history", "[1]"), "400", "malformed-body"],
    [await ask("history", '{"limit":-1}'), "400", undefined],
    [await ask("nonsense", order), "404", "not-found"],
    [await ask("constructor", order), "404", "not-found"],
  ] as const;
  for (const [{ code, reason, body }, wanted_code, wanted] of cases) {
    assert.equal(code, wanted_code, body);
    if (wanted !== undefined) assert.equal(reason, wanted, body);
    assert.equal(JSON.parse(body).reason, reason);
  }
  const { code, body } = await ask("history", "", reader);
  assert.deepEqual({ code, messages: JSON.parse(body).messages }, { code: "", messages: [] });
  /** How many tokens were looked at. */
  const looked = async () => {
    const page = await (await fetch(`${shield.ready.ops_url}/metrics`)).text();
    const counts = page.matchAll(/^shield_token_cache_(?:hits|misses)_total (\d+)/gm);
    return Array.from(counts, ([, count]) => Number(count)).reduce((sum, count) => sum + count);
  };
  const before = await looked();
  const stored = await ask("publish", order);
  assert.equal(await looked() - before, 1, "a request is authenticated once");
  assert.deepEqual(JSON.parse(stored.body).offset, 1, stored.body);
  await nats.drain();
});
