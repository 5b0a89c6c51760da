/** The revocations' admin API, over the embedded Spine. */
import assert from "node:assert/strict";
import { until } from "../../../shared/testing/until.ts";
import { operator, tenantAdmin } from "../routing/testing/admin.ts";
import { holderOf, type TestRevocations, testRevocations } from "../../auth/testing/revocations.ts";
import { SPINE_NOW_MS, testSpine } from "../../testing/spine.ts";

const DAYS_30_MS = 30 * 86_400_000;

async function api(most = 1_000) {
  const engine = testSpine();
  const test = await testRevocations(engine.spine, most);
  await test.held.ready;
  const end = async () => {
    test[Symbol.dispose]();
    await engine[Symbol.asyncDispose]();
  };
  return { ...test, [Symbol.asyncDispose]: end };
}

Deno.test("a revocation applies once it is answered, is listed, and can be lifted", async () => {
  await using test = await api();
  const made = await test.ask("POST", "", { tenant: "acme", user: "ann", reason: "lost phone" });
  assert.equal(made.status, 200, JSON.stringify(made.body));
  const times = { issued_before_ms: SPINE_NOW_MS, until_ms: SPINE_NOW_MS + DAYS_30_MS };
  const made_by = { reason: "lost phone", by: "root", created_ms: SPINE_NOW_MS };
  const revocation = { kind: "user", id: "ann", ...times, ...made_by };
  assert.deepEqual(made.body, { node_id: "s1", tenant: "acme", revocation });
  assert.ok(test.held.find(holderOf()) !== undefined);
  await test.ask("POST", "", { tenant: "globex", token_id: "t1", until_ms: 0 });
  const all = await test.ask("GET", "");
  assert.deepEqual(all.body.revocations.length, 2);
  const one = await test.ask("GET", "?tenant=globex");
  const [{ tenant, kind, id, until_ms }, ...others] = one.body.revocations;
  assert.deepEqual([tenant, kind, id, until_ms, others], ["globex", "token", "t1", 0, []]);
  const lifted = await test.ask("DELETE", "?tenant=acme&kind=user&id=ann");
  assert.deepEqual([lifted.status, lifted.body.lifted], [200, true]);
  await until("the revocation is lifted", () => test.held.find(holderOf()) === undefined);
  const again = await test.ask("DELETE", "?tenant=acme&kind=user&id=ann");
  assert.deepEqual([again.status, again.body.lifted], [200, false]);
  assert.doesNotMatch(test.lines.join(""), /t1|lost phone/, "ids and reasons stay out of the log");
});

Deno.test("a second revocation never re-admits the tokens of the first one", async () => {
  await using test = await api();
  const first = { tenant: "acme", user: "ann", until_ms: 0 };
  await test.ask("POST", "", first);
  const issued_before_ms = SPINE_NOW_MS - 3_600_000;
  const second = { tenant: "acme", user: "ann", issued_before_ms, until_ms: SPINE_NOW_MS + 5 };
  const { body } = await test.ask("POST", "", second);
  assert.equal(body.revocation.issued_before_ms, SPINE_NOW_MS);
  assert.equal(body.revocation.until_ms, 0);
});

Deno.test("many concurrent revocations are all stored", async () => {
  await using test = await api();
  const times = Array.from({ length: 8 }, (_, n) => SPINE_NOW_MS - n * 1_000);
  const revoke = (issued_before_ms: number) =>
    test.ask("POST", "", { tenant: "acme", issued_before_ms });
  const answers = await Promise.all(times.map(revoke));
  assert.deepEqual(answers.map(({ status }) => status), times.map(() => 200));
  const [only] = (await test.ask("GET", "")).body.revocations;
  assert.deepEqual([only.kind, only.id, only.issued_before_ms], ["issued-before", "*", times[0]]);
});

async function refused(test: Pick<TestRevocations, "ask">, body: unknown, named: RegExp) {
  const { status, body: problem } = await test.ask("POST", "", body);
  assert.deepEqual([status, problem.reason], [400, "invalid-settings"], JSON.stringify(body));
  assert.match(problem.detail, named);
}

Deno.test("invalid requests are refused with the reason, and store nothing", async () => {
  await using test = await api();
  const tenant = "acme";
  await refused(test, {}, /tenant/);
  await refused(test, { tenant: "a.b", user: "ann" }, /tenant: expected 1 to 64/);
  await refused(test, { tenant }, /expected user, token_id or issued_before_ms/);
  await refused(test, { tenant, user: "a", token_id: "t" }, /exclude each other/);
  await refused(test, { tenant, token_id: "t", issued_before_ms: SPINE_NOW_MS }, /is for a user/);
  await refused(test, { tenant, user: "" }, /user: expected 1 to 128 bytes/);
  await refused(test, { tenant, token_id: "x".repeat(513) }, /token_id: expected 1 to 512/);
  await refused(test, { tenant, issued_before_ms: SPINE_NOW_MS / 1_000 }, /expected Unix ms/);
  await refused(test, { tenant, issued_before_ms: SPINE_NOW_MS + 1e9 }, /a day ahead/);
  await refused(test, { tenant, user: "a", until_ms: SPINE_NOW_MS }, /until_ms is in the past/);
  await refused(test, { tenant, user: "a", reason: "x".repeat(257) }, /reason/);
  await refused(test, { tenant, user: "a", more: 1 }, /more/);
  await refused(test, "{", /JSON/);
  const queries = ["", "?tenant=acme", "?tenant=acme&kind=room&id=x", "?tenant=.&kind=user&id=a"];
  for (const query of queries) assert.equal((await test.ask("DELETE", query)).status, 400, query);
  assert.equal((await test.ask("GET", "?tenant=")).status, 400);
  assert.equal((await test.ask("PUT", "", {})).status, 405);
  assert.deepEqual(await test.bucket.keys(), []);
});

Deno.test("one more than limits.revocations is refused with revocation-limit; existing ones may change", async () => {
  await using test = await api(2);
  for (const user of ["a", "b"]) await test.ask("POST", "", { tenant: "acme", user });
  const more = await test.ask("POST", "", { tenant: "acme", user: "c" });
  assert.deepEqual([more.status, more.body.reason], [429, "revocation-limit"]);
  assert.equal((await test.ask("POST", "", { tenant: "acme", user: "a" })).status, 200);
  test.clock.now_ms += DAYS_30_MS + 1;
  test.clock.monotonic_ms += DAYS_30_MS + 1;
  assert.equal((await test.ask("POST", "", { tenant: "acme", user: "c" })).status, 200);
});

Deno.test("admins of one tenant fill its share of limits.revocations, operators the rest", async () => {
  await using test = await api(10);
  const acme = tenantAdmin("acme");
  const revoke = (user: string, as = acme, tenant = "acme") =>
    test.ask("POST", "", { tenant, user }, as);
  const users = [..."abdefghi"];
  for (const user of users) assert.equal((await revoke(user)).status, 200);
  const more = await revoke("c");
  assert.deepEqual([more.status, more.body.reason], [429, "revocation-limit"]);
  assert.equal((await revoke("a")).status, 200, "an existing one may change");
  assert.equal((await revoke("c", tenantAdmin("globex"), "globex")).status, 200);
  assert.equal((await revoke("c", operator())).status, 200);
  const own = await test.ask("GET", "", undefined, acme);
  assert.deepEqual(own.body.revocations.map(({ id }: { id: string }) => id), [...users, "c"]);
});
