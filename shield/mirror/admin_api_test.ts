/** The mirror's admin API, over real settings on the embedded Spine. */
import assert from "node:assert/strict";
import { testMirror } from "./testing/mirror.ts";

const RULES = "/v1/tenants/acme/mirror";
const CONFIG = { rules: [{ prefix: "in.t.*", percent: 0.01 }] };

Deno.test("rules are set, listed, explained and removed, and are in force once answered", async () => {
  await using test = await testMirror(CONFIG);
  const set = await test.ask("PUT", RULES, { prefix: "in.t.acme.r.vip*", percent: 0.0001 });
  assert.equal(set.status, 200);
  assert.deepEqual(set.body, {
    tenant: "acme",
    changed: true,
    version: 1,
    revision: set.body.revision,
    by: "root",
    changed_ms: set.body.changed_ms,
    rules: [{ prefix: "in.t.acme.r.vip*", percent: 0.0001 }],
    here: { node_id: "s1", in_force: true },
  });
  const changed = await test.ask("PUT", RULES, { prefix: "in.t.acme.r.vip*", percent: 1 });
  assert.deepEqual(changed.body.rules, [{ prefix: "in.t.acme.r.vip*", percent: 1 }]);
  const again = await test.ask("PUT", RULES, { prefix: "in.t.acme.r.vip*", percent: 1 });
  assert.deepEqual([again.body.changed, again.body.version], [false, 2]);
  const { body: all } = await test.ask("GET", "/v1/mirror");
  assert.deepEqual(
    all.rules.map((rule: { prefix: string; source: string }) => [rule.prefix, rule.source]),
    [["in.t.*", "config"], ["in.t.acme.r.vip*", "tenant"]],
  );
  const { body: own } = await test.ask("GET", RULES);
  assert.deepEqual([own.version, own.here], [2, { node_id: "s1", version: 2, problem: null }]);
  const explain = (subject: string) => test.ask("GET", `/v1/mirror/explain?subject=${subject}`);
  const vip = (await explain("in.t.acme.r.vip-1")).body;
  assert.deepEqual([vip.rule.prefix, vip.rule.source], ["in.t.acme.r.vip*", "tenant"]);
  assert.deepEqual(vip.others.map(({ prefix }: { prefix: string }) => prefix), ["in.t.*"]);
  assert.match(vip.why, /tenant's settings has the longest prefix/);
  assert.equal((await explain("in.t.acme.r.vip&key=t1")).body.mirrored, true);
  const removed = await test.ask("DELETE", `${RULES}?prefix=in.t.acme.r.vip*`);
  assert.deepEqual([removed.body.changed, removed.body.rules], [true, []]);
  const twice = await test.ask("DELETE", `${RULES}?prefix=in.t.acme.r.vip*`);
  assert.deepEqual([twice.status, twice.body.changed], [200, false]);
  assert.equal((await explain("in.t.acme.r.vip-1")).body.rule.prefix, "in.t.*");
  assert.match(test.lines.join(""), /tenant_id=acme version=1 by=root .*rules were changed/);
});

Deno.test("a tenant without settings is not an error, and nothing matches without rules", async () => {
  await using test = await testMirror();
  const { status, body } = await test.ask("GET", "/v1/tenants/nobody/mirror");
  assert.deepEqual([status, body.version, body.rules], [200, 0, []]);
  const none = (await test.ask("GET", "/v1/mirror/explain?subject=in.t.acme.r.a")).body;
  assert.deepEqual([none.rule, none.others], [null, []]);
  assert.match(none.why, /no rule matches/);
  assert.equal((await test.ask("DELETE", `${RULES}?prefix=x`)).body.changed, false);
});

Deno.test("invalid requests are refused with invalid-settings that names the problem", async () => {
  await using test = await testMirror();
  const prefix = "in.t.acme.*";
  for (
    const [body, named] of [
      [{ prefix, percent: -0.1 }, /percent -0\.1: .*fraction from 0 to 1/],
      [{ prefix, percent: 1.1 }, /percent 1\.1: /],
      [`{"prefix":"${prefix}","percent":NaN}`, /NaN/],
      [{ prefix, percent: "10%" }, /percent "10%": /],
      [{ prefix, percent: null }, /percent null: /],
      [{ prefix }, /percent null: /],
      [{ prefix, percent: 1, mode: "x" }, /mode/],
      [{ prefix: "in.t.globex.*", percent: 1 }, /"in\.t\.globex\.\*" does not begin with/],
      [{ prefix: "in.t.*", percent: 1 }, /does not begin with in\.t\.acme\./],
      [{ prefix: "in.t.acme", percent: 1 }, /prefix: .*trailing "\*"/],
      [{ prefix: "", percent: 1 }, /prefix/],
      ["[]", /the body/],
      ["{", /JSON/],
    ] as const
  ) {
    const refused = await test.ask("PUT", RULES, body);
    assert.equal(refused.status, 400, JSON.stringify(body));
    assert.equal(refused.body.reason, "invalid-settings");
    assert.match(refused.body.detail, named);
  }
  for (
    const [method, path] of [
      ["DELETE", RULES],
      ["DELETE", `${RULES}?prefix=`],
      ["GET", "/v1/mirror/explain"],
      ["GET", "/v1/mirror/explain?subject=in.t.acme.*"],
      ["GET", "/v1/mirror/explain?subject=out.t.acme.r.a"],
      ["GET", "/v1/tenants/a%20b/mirror"],
      ["GET", "/v1/tenants/a%2/mirror"],
    ] as const
  ) {
    const refused = await test.ask(method, path);
    assert.deepEqual([refused.status, refused.body.reason], [400, "invalid-settings"], path);
  }
  assert.equal((await test.ask("GET", RULES)).body.version, 0, "nothing was written");
});

Deno.test("a diff is cleared for a tenant or one candidate", async () => {
  await using test = await testMirror();
  const forget = async (query: string) =>
    (await test.ask("DELETE", `/v1/mirror/diff?tenant=acme${query}`)).body.forgotten;
  assert.deepEqual([await forget(""), await forget("&candidate=x")], [0, 0]);
});
