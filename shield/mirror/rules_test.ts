/** The mirror rule that applies, and its selection: the same on all Shields, with smaller shares inside larger ones. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { configFrom } from "../../shared/config/load.ts";
import { MirrorRules } from "./rules.ts";
import { MirrorStats, RULES_MAX } from "./stats.ts";

function rulesOf(...config: [prefix: string, percent: number][]): MirrorRules {
  const rules = config.map(([prefix, percent]) => ({ prefix, percent }));
  return new MirrorRules(rules, new MirrorStats().totalsOf);
}

const SUBJECT = "in.t.acme.r.lobby";

function picked(percent: number, key: string): boolean {
  const rules = rulesOf(["in.t.*", percent]);
  return rules.picks(rules.match(SUBJECT, "acme")!, key);
}

const percent = fc.double({ min: 0, max: 1, noNaN: true });
const key = fc.oneof(fc.uuid(), fc.string());

Deno.test("a key is always selected or never, and also selected by every larger share", () => {
  fc.assert(fc.property(percent, percent, key, (a, b, text) => {
    assert.equal(picked(a, text), picked(a, text));
    if (picked(Math.min(a, b), text)) assert.ok(picked(Math.max(a, b), text));
    assert.ok(picked(1, text));
    assert.ok(!picked(0, text));
  }));
});

Deno.test("a share of one ten-thousandth selects about that many keys, and always the same", () => {
  const rules = rulesOf(["in.t.*", 0.0001]);
  const rule = rules.match(SUBJECT, "acme")!;
  const pick = () => {
    const keys: string[] = [];
    for (let n = 0; n < 200_000; n++) {
      const trace = n.toString(16).padStart(32, "0");
      if (rules.picks(rule, trace)) keys.push(trace);
    }
    return keys;
  };
  const keys = pick();
  assert.ok(keys.length > 4 && keys.length < 60, `${keys.length} of about 20`);
  assert.deepEqual(pick(), keys);
});

Deno.test("the longest prefix wins, from either source; for the same prefix the tenant's own", () => {
  const rules = rulesOf(["in.t.*", 0.1], ["in.t.acme.r.lobby", 0.2], ["in.t.acme.r.x*", 0.3]);
  const percentOf = (room: string, tenant = "acme") =>
    rules.match(`in.t.${tenant}.r.${room}`, tenant)?.percent;
  assert.deepEqual([percentOf("lobby"), percentOf("x1"), percentOf("a")], [0.2, 0.3, 0.1]);
  rules.setTenant("acme", [
    { prefix: "in.t.acme.*", percent: 0.5 },
    { prefix: "in.t.acme.r.x*", percent: 0.6 },
  ]);
  assert.deepEqual([percentOf("lobby"), percentOf("x1"), percentOf("a")], [0.2, 0.6, 0.5]);
  assert.equal(percentOf("x1", "globex"), 0.1, "other tenants have the config's");
  const explained = rules.explain("in.t.acme.r.x1", "acme");
  assert.deepEqual(
    explained.map((rule) => [rule.prefix, rule.percent, rule.source]),
    [["in.t.acme.r.x*", 0.6, "tenant"], ["in.t.acme.*", 0.5, "tenant"], ["in.t.*", 0.1, "config"]],
  );
  assert.equal(rules.size, 5);
  rules.setTenant("acme", []);
  assert.deepEqual([percentOf("x1"), percentOf("a"), rules.size], [0.3, 0.1, 3]);
});

Deno.test("without rules nothing matches, and an invalid rule of a tenant leaves the table unchanged", () => {
  assert.equal(rulesOf().match(SUBJECT, "acme"), undefined);
  const rules = rulesOf(["in.t.*", 0.1]);
  rules.setTenant("acme", [{ prefix: "in.t.acme.*", percent: 0.5 }]);
  assert.throws(() => rules.setTenant("acme", [{ prefix: "in..t", percent: 1 }]), TypeError);
  assert.throws(() => rules.setTenant("acme", [{ prefix: "in.t.acme.*", percent: 2 }]), RangeError);
  assert.equal(rules.match(SUBJECT, "acme")?.percent, 0.5);
});

Deno.test("rules of the config that can never match, or are duplicates, prevent the start", () => {
  const load = (...rules: object[]) => configFrom({ platform: { mirroring: { rules } } });
  for (
    const [prefix, problem] of [
      ["out.t.acme.*", /nothing is published there/],
      ["in.t.acme", /a trailing "\*" matches any remainder/],
      ["in.t.a*b.r.x", /stands alone/],
    ] as const
  ) assert.throws(() => load({ prefix, percent: 1 }), problem);
  assert.throws(
    () => load({ prefix: "in.t.*", percent: 1 }, { prefix: "in.t.*", percent: 0.5 }),
    /the same prefix as rules\[0\]/,
  );
  for (const percent of [-0.1, 1.1, NaN, "10%"]) {
    assert.throws(() => load({ prefix: "in.t.*", percent }), /percent/);
  }
});

Deno.test("rules beyond the limit are counted together as other", () => {
  const stats = new MirrorStats();
  const totals = Array.from({ length: RULES_MAX + 5 }, (_, n) => stats.totalsOf(`in.t.t${n}.*`));
  assert.equal(new Set(totals).size, RULES_MAX + 1);
  assert.equal(stats.totalsOf("in.t.t0.*"), totals[0]);
});
