/**
 * The admin API of a real bus on the embedded Spine: requests without a token and from pages of other sites, limits,
 * figures of a policy, a log without warnings, and readers whose token or rank ends. `admin_strict_test.ts` has invalid
 * requests.
 */
import assert from "node:assert/strict";
import { AdminClient } from "../peers/admin_client.ts";
import { startLocalBus, type TestBus } from "../harness/local_bus.ts";
import { PATIENT_POLICIES } from "../harness/patient_policies.ts";
import { enforce } from "../peers/policy_admin.ts";
import { send } from "../peers/own_connections.ts";
import { answered, openText } from "../peers/raw_client.ts";

const QUOTA = '[quota]\nurl = "redis://ann:hidden-word@127.0.0.1:1/0"\n';

async function adminOf(bus: TestBus): Promise<AdminClient> {
  return new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin", user: "root" }));
}

Deno.test("pages of other sites get nothing, and every answer says how it may be used", async () => {
  await using bus = await startLocalBus();
  const admin = await adminOf(bus);
  const own = new URL(bus.admin_url).origin;
  for (const path of ["/v1/cluster", "/v1/openapi.json", "/console/", "/v1/nothing"]) {
    const foreign = await admin.ask("GET", path, undefined, { origin: "https://evil.example" });
    assert.deepEqual([foreign.status, foreign.body.reason], [403, "origin-not-allowed"], path);
    const site = await admin.ask("GET", path, undefined, { "sec-fetch-site": "cross-site" });
    assert.equal(site.status, 403, path);
    const { headers } = await admin.ask("GET", path, undefined, { origin: own });
    assert.equal(headers.get("cache-control"), "no-store");
    assert.equal(headers.get("x-content-type-options"), "nosniff");
    assert.equal(headers.get("access-control-allow-origin"), null);
    assert.match(headers.get("content-security-policy") ?? "", /default-src 'none'/);
  }
  const preflight = await admin.ask("OPTIONS", "/v1/drain", undefined, { origin: own });
  assert.equal(preflight.status, 405);
  const stranger = new AdminClient(bus.admin_url, "");
  const root = await stranger.get("/");
  assert.deepEqual([root.status, root.headers.get("location")], [302, "/console/"]);
  const page = await stranger.get("/console/");
  assert.equal(page.status, 200);
  assert.equal(page.headers.get("content-type"), "text/html; charset=utf-8");
  assert.match(page.headers.get("content-security-policy") ?? "", /script-src 'self'/);
  assert.equal((await stranger.get("/console/../v1/cluster")).status, 401);
  // A path without a route does not exist for anybody, wherever it is.
  const none = ["/console/%2e%2e/deno.json", "/v1/none", "/v1/schemas/a/b", "/v1/policies/a/b"];
  for (const path of none) assert.equal((await stranger.get(path)).status, 404, path);
});

Deno.test("limits are shown without secrets", async () => {
  await using bus = await startLocalBus(QUOTA);
  const answer = await (await adminOf(bus)).read("/v1/limits");
  assert.equal(answer.limits.max_frame_bytes, 262_144);
  assert.equal(answer.quota.tenants, 0);
  assert.equal(answer.quota.url, undefined);
  assert.ok(!JSON.stringify(answer).includes("hidden-word"));
});

Deno.test("what a policy decided and cost is shown", async () => {
  await using bus = await startLocalBus(PATIENT_POLICIES);
  const admin = await adminOf(bus);
  const sha256 = await enforce(bus, "bad_words", { name: "words" });
  using client = await openText(bus.url, bus.token);
  for (const text of ["fine", "malware", "fine"]) {
    await answered(client, { op: "pub", room: "lobby", type: "chat", data: { text } });
  }
  const { policies: shown } = await admin.read("/v1/policies/stats?tenant=default");
  const [words] = shown;
  assert.deepEqual([shown.length, words.name, words.module], [1, "words", sha256]);
  assert.equal(words.hook, "on_message");
  assert.deepEqual(words.verdicts, { allow: 2, reject: 1, error: 0 });
  assert.ok(words.fuel_mean > 0 && words.fuel_max >= words.fuel_mean);
  assert.ok(words.p50_us > 0 && words.p99_us >= words.p50_us);
  const { nodes } = await admin.read("/v1/cluster");
  const shield = nodes.find(({ kind }: { kind: string }) => kind === "shield");
  assert.deepEqual(shield.totals.policy_verdicts, { allow: 2, reject: 1, error: 0 });
  assert.equal(shield.totals.rejects["policy-rejected"], 1);
  // A policy may have that name: it is removed like any other.
  const removed = await admin.ask("DELETE", "/v1/policies/stats?tenant=default");
  assert.equal(removed.body.reason, "policy-unknown");
});

Deno.test("a bus that starts and is queried about itself has no warnings", async () => {
  await using bus = await startLocalBus();
  const { nodes } = await (await adminOf(bus)).read("/v1/cluster");
  assert.ok(nodes.length > 0);
  assert.deepEqual(bus.log().split("\n").filter((line) => /level=(warn|error)/.test(line)), []);
});

/** Answers that have no end of their own end with the token of their reader. */
const ENDLESS = ["rooms/default/lobby/tail", "policies/logs?tenant=default"];

/** Begins all of them. */
async function follows({ admin_url }: TestBus, token: string) {
  return await Promise.all(ENDLESS.map(async (path) => {
    const answer = await send(`${admin_url}/v1/${path}`, token, "GET");
    assert.equal(answer.status, 200, path);
    const reader = answer.body!.getReader();
    // It has begun.
    assert.equal((await reader.read()).done, false, path);
    return reader;
  }));
}

async function areEnded(readers: Awaited<ReturnType<typeof follows>>): Promise<void> {
  for (const [at, reader] of readers.entries()) {
    let ended = false;
    while (!ended) ended = (await reader.read()).done;
    assert.ok(ended, ENDLESS[at]);
  }
}

Deno.test("what an admin follows ends once the admin's token is revoked, also while nothing happens", async () => {
  await using bus = await startLocalBus("");
  const readers = await follows(bus, await bus.tokenFor({ user: "mal", role: "admin" }));
  const revoked = { tenant: "default", user: "mal" };
  const { status, text } = await (await adminOf(bus)).ask("POST", "/v1/revocations", revoked);
  assert.equal(status, 200, text);
  await areEnded(readers);
});

Deno.test("what an operator follows ends once a reload has made it the admin of its own tenant", async () => {
  let operators = '"default", "other"';
  await using bus = await startLocalBus(() => `[admin]\noperator_tenants = [${operators}]\n`);
  const readers = await follows(bus, await bus.tokenFor({ tenant: "other", role: "admin" }));
  operators = '"default"';
  const { status, text } = await (await adminOf(bus)).ask("POST", "/v1/config/reload", {});
  assert.equal(status, 200, text);
  await areEnded(readers);
});
