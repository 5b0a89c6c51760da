/** The admin API of schemas and mappings: every method, and every refusal with its reason. */
import assert from "node:assert/strict";
import { gunzipSync } from "node:zlib";
import { TENANTS_BUCKET } from "../../../shared/records/tenant_settings.ts";
import { adminRequest, askPart, operator, tenantAdmin } from "../../admin/routing/testing/admin.ts";
import { SCHEMA_ROUTES } from "../capability.ts";
import { testSpine } from "../../testing/spine.ts";
import { refusalOf, type TestSchemas, testSchemas } from "../testing/registry.ts";
import { BAD_PING, GOOD_PING, UNKNOWN_PING } from "../testing/schemas.ts";
import { incompatiblePing, ping, pong } from "../testing/schemas.ts";

const GZIP = "application/gzip";
const JSON_TYPE = "application/json";

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Uint8Array;
  // deno-lint-ignore no-explicit-any
  readonly body: any;
}

/** One request as the admin `root` sends it. */
async function ask(
  { schemas }: TestSchemas,
  method: string,
  path: string,
  body?: BodyInit,
  type = GZIP,
  as = operator(),
): Promise<Answer> {
  const request = adminRequest(method, `/v1/${path}`, body, type);
  const response = await askPart(SCHEMA_ROUTES, schemas.admin, request, as);
  const bytes = new Uint8Array(await response.arrayBuffer());
  const { status, headers } = response;
  const is_json = /json/.test(headers.get("content-type") ?? "");
  const body_ = is_json ? JSON.parse(new TextDecoder().decode(bytes)) : {};
  return { status, headers, bytes, body: body_ };
}

const map = (t: TestSchemas, mapping: object, tenant = "acme") =>
  ask(t, "PUT", `tenants/${tenant}/mappings`, JSON.stringify(mapping), JSON_TYPE);

Deno.test("a version without a mapped message is a warning in every mode, and the previous one stays in force", async () => {
  await using engine = testSpine();
  using t = await testSchemas(engine.spine);
  await ask(t, "PUT", "schemas/ping", ping());
  const checked = await ask(t, "POST", "schemas/ping/check?compatibility=NONE", pong());
  assert.equal(checked.body.compatible, true);
  const pushed = await ask(t, "PUT", "schemas/ping?compatibility=NONE", pong());
  assert.deepEqual([pushed.status, pushed.body.version], [200, 2]);
  for (const { body } of [checked, pushed]) {
    assert.equal(body.findings.length, 1);
    const [{ severity, rule, message, from_version }] = body.findings;
    assert.deepEqual([severity, rule], ["warning", "mapped-message-missing"]);
    assert.deepEqual([message, from_version], ["t.Ping", "1"]);
  }
  const [{ version, problem }] = pushed.body.here.messages;
  assert.equal(version, 1);
  assert.match(problem, /^version 2: .*no message.*t\.Ping/);
  // A Shield that starts later.
  using fresh = await testSchemas(engine.spine);
  const { here } = (await ask(fresh, "GET", "schemas/ping")).body;
  assert.deepEqual(here.messages, [{ message: "t.Ping", version, problem }]);
  // Unmapped types are not reported.
  await ask(t, "PUT", "schemas/other", ping());
  const other = await ask(t, "PUT", "schemas/other?compatibility=NONE", pong());
  assert.deepEqual(other.body.findings, []);
});

Deno.test("a schema is registered, listed, shown and downloaded unchanged", async () => {
  await using engine = testSpine();
  using t = await testSchemas(engine.spine);
  assert.deepEqual((await ask(t, "GET", "schemas")).body, { schemas: [], refused: [] });
  const pushed = await ask(t, "PUT", "schemas/ping", ping());
  assert.equal(pushed.status, 200, JSON.stringify(pushed.body));
  const { registered, version, compatibility, by, here } = pushed.body;
  assert.deepEqual([registered, version, compatibility, by], [true, 1, "BACKWARD", "root"]);
  assert.deepEqual(here.messages, [{ message: "t.Ping", version: 1, problem: null }]);
  const again = await ask(t, "PUT", "schemas/ping", ping(), "application/octet-stream");
  assert.deepEqual([again.body.registered, again.body.version], [false, 1]);
  const second = await ask(t, "PUT", "schemas/ping", ping(["extra", 9, "int32"]));
  assert.equal(second.body.version, 2);
  assert.deepEqual(second.body.against, [1]);
  assert.equal(second.body.here.messages[0].version, 2, "in force when the answer comes");
  const shown = await ask(t, "GET", "schemas/ping");
  assert.equal(shown.body.versions.length, 2);
  const [listed] = (await ask(t, "GET", "schemas")).body.schemas;
  assert.deepEqual([listed.schema_id, listed.versions, listed.latest.version], ["ping", 2, 2]);
  const first = await ask(t, "GET", "schemas/ping/versions/1");
  assert.deepEqual(first.bytes, ping());
  assert.equal(first.headers.get("content-type"), "application/gzip");
  assert.equal(first.headers.get("etag"), `"${shown.body.versions[0].sha256}"`);
  const latest = await ask(t, "GET", "schemas/ping/versions/latest");
  assert.equal(latest.headers.get("x-arqon-schema-version"), "2");
  assert.ok(gunzipSync(latest.bytes).length > 0);
});

Deno.test("an incompatible version is 409 with every finding; a check gives the same answer and changes nothing", async () => {
  await using engine = testSpine();
  using t = await testSchemas(engine.spine);
  await ask(t, "PUT", "schemas/ping", ping());
  const refused = await ask(t, "PUT", "schemas/ping", incompatiblePing());
  assert.equal(refused.status, 409);
  assert.equal(refused.headers.get("content-type"), "application/problem+json");
  assert.equal(refused.body.reason, "schema-incompatible");
  assert.match(refused.body.detail, /^Schema incompatible: error [a-z-]+: t\.proto: t\.Ping\.n:/);
  assert.deepEqual([refused.body.compatibility, refused.body.against], ["BACKWARD", [1]]);
  for (const finding of refused.body.findings) {
    for (const member of ["severity", "rule", "file", "message", "field", "detail"]) {
      assert.equal(typeof finding[member], "string", member);
    }
    assert.deepEqual([finding.from_version, finding.to_version], ["1", "candidate"]);
  }
  const checked = await ask(t, "POST", "schemas/ping/check", incompatiblePing());
  assert.equal(checked.status, 200);
  assert.equal(checked.body.compatible, false);
  assert.deepEqual(checked.body.findings, refused.body.findings);
  const free = await ask(t, "POST", "schemas/ping/check?compatibility=NONE", incompatiblePing());
  assert.deepEqual([free.body.compatible, free.body.findings], [true, []]);
  const unknown = await ask(t, "POST", "schemas/nobody/check", ping());
  assert.deepEqual([unknown.body.exists, unknown.body.compatible], [false, true]);
  assert.equal((await ask(t, "GET", "schemas/ping")).body.versions.length, 1);
});

Deno.test("compatibility is stored with the schema and changes with or without a version", async () => {
  await using engine = testSpine();
  using t = await testSchemas(engine.spine);
  const first = await ask(t, "PUT", "schemas/ping?compatibility=FULL_TRANSITIVE", ping());
  assert.equal(first.body.compatibility, "FULL_TRANSITIVE");
  const changed = await ask(t, "PUT", "schemas/ping?compatibility=NONE");
  assert.deepEqual([changed.status, changed.body.compatibility], [200, "NONE"]);
  assert.equal((await ask(t, "PUT", "schemas/ping", pong())).status, 200);
  assert.equal((await ask(t, "GET", "schemas/ping")).body.compatibility, "NONE");
  const nobody = await ask(t, "PUT", "schemas/nobody?compatibility=NONE");
  assert.deepEqual([nobody.status, nobody.body.reason], [404, "schema-unknown"]);
});

Deno.test("an invalid schema is refused with its problem", async () => {
  await using engine = testSpine();
  using t = await testSchemas(engine.spine);
  const text = (value: string) => new TextEncoder().encode(value);
  const cases: [path: string, body: BodyInit | undefined, status: number, reason: string][] = [
    ["ping", text("hello"), 400, "invalid-schema"],
    ["ping", undefined, 400, "invalid-schema"],
    ["ping", ping().subarray(0, 60), 400, "invalid-schema"],
    ["a%20b", ping(), 400, "invalid-schema"],
    ["%ff", ping(), 400, "invalid-schema"],
    ["x".repeat(129), ping(), 400, "invalid-schema"],
    ["ping?compatibility=SOMETIMES", ping(), 400, "invalid-schema"],
    ["ping", new Uint8Array(1_048_577), 413, "too-large"],
  ];
  for (const [path, body, status, reason] of cases) {
    const answer = await ask(t, "PUT", `schemas/${path}`, body);
    assert.deepEqual([answer.status, answer.body.reason], [status, reason], path);
  }
  const typed = await ask(t, "PUT", "schemas/ping", ping(), "text/plain");
  assert.deepEqual([typed.status, typed.body.reason], [415, "unsupported-media-type"]);
  assert.deepEqual((await ask(t, "GET", "schemas")).body, { schemas: [], refused: [] });
});

Deno.test("unknown paths and methods are refused as such", async () => {
  await using engine = testSpine();
  using t = await testSchemas(engine.spine);
  const cases: [method: string, path: string, status: number, reason: string][] = [
    ["GET", "schemas/nobody", 404, "schema-unknown"],
    ["GET", "schemas/nobody/versions/1", 404, "schema-unknown"],
    ["GET", "schemas/ping/versions", 404, "not-found"],
    ["GET", "schemas/ping/other", 404, "not-found"],
    ["POST", "schemas/ping/check/1", 404, "not-found"],
    ["POST", "schemas", 405, "method-not-allowed"],
    ["DELETE", "schemas/ping", 404, "schema-unknown"],
    ["GET", "schemas/ping/check", 405, "method-not-allowed"],
    ["GET", "tenants/a.b/mappings", 400, "invalid-settings"],
  ];
  for (const [method, path, status, reason] of cases) {
    const answer = await ask(t, method, path);
    assert.deepEqual([answer.status, answer.body.reason], [status, reason], path);
  }
  assert.equal((await ask(t, "PATCH", "schemas/ping")).headers.get("allow"), "GET, PUT, DELETE");
  await ask(t, "PUT", "schemas/ping", ping());
  const version = await ask(t, "GET", "schemas/ping/versions/2");
  assert.deepEqual([version.status, version.body.reason], [404, "schema-unknown"]);
});

Deno.test("data is judged as by the gate, in both forms", async () => {
  await using engine = testSpine();
  using t = await testSchemas(engine.spine);
  await ask(t, "PUT", "schemas/ping", ping());
  await ask(t, "PUT", "schemas/ping", ping(["extra", 99, "int32"]));
  const judge = (query: string, body: BodyInit, type = "application/protobuf") =>
    ask(t, "POST", `schemas/ping/validate?message=t.Ping${query}`, body, type);
  assert.deepEqual((await judge("", GOOD_PING)).body.valid, true);
  const bad = (await judge("", BAD_PING)).body;
  assert.deepEqual([bad.valid, bad.total, bad.violations[0].path], [false, 1, "n"]);
  assert.equal((await judge("", '{"n":1}', JSON_TYPE)).body.valid, true);
  assert.equal((await judge("", '{"n":"x"}', JSON_TYPE)).body.valid, false);
  assert.equal((await judge("&version=1&unknown_fields=refuse", UNKNOWN_PING)).body.valid, false);
  const latest = await judge("&version=latest&unknown_fields=refuse", UNKNOWN_PING);
  assert.equal(latest.body.valid, true);
  assert.equal((await judge("&version=7", GOOD_PING)).body.reason, "schema-unknown");
  assert.equal((await judge("&unknown_fields=maybe", GOOD_PING)).body.reason, "malformed-body");
  const nobody = await ask(t, "POST", "schemas/ping/validate?message=t.Nobody", GOOD_PING);
  assert.deepEqual([nobody.status, nobody.body.reason], [400, "invalid-schema"]);
});

Deno.test("mappings are set, replaced, shown and removed, one by one and all together", async () => {
  await using engine = testSpine();
  using t = await testSchemas(engine.spine, { mappings: [] });
  await ask(t, "PUT", "schemas/ping", ping());
  const one = { subject: "in.t.acme.r.a", schema_id: "ping", message: "t.Ping" };
  const first = await map(t, one);
  assert.deepEqual([first.status, first.body.changed, first.body.here.in_force], [200, true, true]);
  assert.equal((await map(t, one)).body.changed, false);
  await map(t, { ...one, subject: "in.t.acme.r.b" });
  const replaced = await map(t, { ...one, mode: "observe" });
  const [b, a, ...others] = replaced.body.mappings;
  assert.deepEqual([b.subject, b.mode, others], ["in.t.acme.r.b", "enforce", []]);
  assert.deepEqual([a.subject, a.mode], ["in.t.acme.r.a", "observe"]);
  const removed = await ask(t, "DELETE", "tenants/acme/mappings?subject=in.t.acme.r.b");
  assert.equal(removed.body.mappings.length, 1);
  const all = await map(t, { mappings: [{ ...one, subject: "in.t.acme.>" }] });
  assert.equal(all.body.mappings[0].subject, "in.t.acme.>");
  assert.deepEqual((await ask(t, "GET", "tenants/acme/mappings")).body.mappings, all.body.mappings);
  assert.equal(await t.metric("shield_schema_tenant_mappings"), 1);
  const none = await ask(t, "DELETE", "tenants/acme/mappings");
  assert.deepEqual([none.body.changed, none.body.mappings], [true, []]);
  assert.equal(await t.metric("shield_schema_tenant_mappings"), 0);
});

Deno.test("unreadable settings refuse the tenant's events, and are not overwritten", async () => {
  await using engine = testSpine();
  const bucket = await engine.spine.keyValue(TENANTS_BUCKET);
  await bucket.put(["acme"], new TextEncoder().encode("damaged"));
  using t = await testSchemas(engine.spine, { mappings: [] });
  await ask(t, "PUT", "schemas/ping", ping());
  const one = { subject: "in.t.acme.r.a", schema_id: "ping", message: "t.Ping" };
  const refused = await map(t, one);
  assert.deepEqual([refused.status, refused.body.reason], [409, "settings-conflict"]);
  const shown = await ask(t, "GET", "tenants/acme/mappings");
  assert.equal(shown.body.reason, "settings-conflict");
  const check = (room: string, data: Uint8Array) => refusalOf(t, data, "acme", room)?.reason;
  assert.equal(check("a", GOOD_PING), "schema-unavailable");
  assert.equal(check("b", GOOD_PING), "schema-unavailable", "the mappings are unknown");
  await t.settings.reset("acme", "root");
  assert.equal((await map(t, one)).status, 200);
  assert.equal(check("a", GOOD_PING), undefined);
  assert.equal(check("a", BAD_PING), "schema-violation");
  assert.equal(check("b", BAD_PING), undefined);
});

Deno.test("an admin of one tenant reads schemas and its own mappings, and registers none", async () => {
  await using engine = testSpine();
  const shared = { subject: "in.t.*.r.all", message: "t.Inner" };
  const mappings = [{ subject: "in.t.globex.r.*" }, shared];
  using t = await testSchemas(engine.spine, { mappings });
  await t.push("ping", ping());
  await t.push("pong", pong());
  const acme = tenantAdmin("acme");
  const globex = tenantAdmin("globex");
  const get = async (path: string, as = acme) =>
    (await ask(t, "GET", path, undefined, GZIP, as)).body;
  const idsOf = async (as = acme) =>
    (await get("schemas", as)).schemas.map((one: { schema_id: string }) => one.schema_id);
  const messagesOf = async (as = acme) =>
    (await get("schemas/ping", as)).here.messages.map((one: { message: string }) => one.message);
  assert.deepEqual([await idsOf(), await idsOf(globex)], [["ping"], ["ping"]]);
  assert.deepEqual(await messagesOf(), ["t.Inner"]);
  assert.deepEqual((await messagesOf(globex)).toSorted(), ["t.Inner", "t.Ping"]);
  assert.equal((await get("schemas/pong")).here, null);
  const mapped = { subject: "in.t.acme.r.*", schema_id: "pong", message: "t.Pong" };
  const path = "tenants/acme/mappings";
  const set = await ask(t, "PUT", path, JSON.stringify(mapped), JSON_TYPE, acme);
  assert.equal(set.status, 200, JSON.stringify(set.body));
  assert.deepEqual([await idsOf(), await idsOf(globex)], [["ping", "pong"], ["ping"]]);
  const data = await ask(t, "POST", "schemas/pong/validate?message=t.Pong", "{}", JSON_TYPE, acme);
  assert.deepEqual([data.status, data.body.valid], [200, true]);
  for (const [method, of] of [["PUT", "schemas/pong"], ["POST", "schemas/pong/check"]] as const) {
    const refused = await ask(t, method, of, ping(), GZIP, acme);
    assert.deepEqual([refused.status, refused.body.reason], [403, "role-forbidden"], method);
  }
});
