/** Which mapping applies to a subject, among those of the configuration and of the tenants. */
import assert from "node:assert/strict";
import type { SchemaMapping } from "../../shared/config/schema_governance.ts";
import { makeAtOnce } from "../../shared/turns/making.ts";
import { Mappings } from "./gate.ts";

const mapping = (subject: string, schema_id: string): SchemaMapping => (
  { subject, schema_id, message: "t.Ping", mode: "enforce", unknown_fields: "allow" }
);

function found(mappings: Mappings, subject: string, tenant_id = "acme"): string | undefined {
  const bound = mappings.find(subject, tenant_id);
  return bound === undefined || "problem" in bound ? bound?.problem : bound.mapping.schema_id;
}

Deno.test("the most specific pattern wins, from either source", () => {
  const exact = mapping("in.t.acme.r.lobby", "lobby");
  const all = [mapping("in.t.*.r.*", "any"), mapping("in.t.acme.r.chat-*", "chat"), exact];
  const mappings = new Mappings(all, { tenant_mappings: 10 });
  assert.equal(found(mappings, "in.t.acme.r.lobby"), "lobby");
  assert.equal(found(mappings, "in.t.acme.r.chat-1"), "chat");
  assert.equal(found(mappings, "in.t.acme.r.other"), "any");
  mappings.set("acme", [
    mapping("in.t.acme.r.chat-1*", "own"),
    mapping("in.t.acme.*", "broad"),
    mapping("in.t.acme.r.lobby", "mine"),
  ]);
  assert.equal(found(mappings, "in.t.acme.r.chat-12"), "own");
  assert.equal(found(mappings, "in.t.acme.r.chat-2"), "chat", "the configuration's is narrower");
  assert.equal(found(mappings, "in.t.acme.r.other"), "broad");
  assert.equal(found(mappings, "in.t.acme.r.lobby"), "mine", "the tenant's wins over an equal one");
  assert.equal(found(mappings, "in.t.globex.r.lobby", "globex"), "any", "others are unchanged");
  const config = [mapping("in.t.*.r.*", "all"), mapping("in.t.acme.r.chat-2*", "new")];
  assert.ok([...mappings.compiling(config)].length >= config.length, "step by step");
  mappings.replace(makeAtOnce(mappings.compiling(config)));
  const rooms = ["chat-12", "chat-2", "chat-3", "lobby"];
  const now = rooms.map((room) => found(mappings, `in.t.acme.r.${room}`));
  assert.deepEqual(now, ["own", "new", "broad", "mine"]);
  mappings.set("acme", []);
  assert.equal(found(mappings, "in.t.acme.r.lobby"), "all");
});

Deno.test("without mappings nothing is looked up; one tenant's mappings affect no other tenant", () => {
  const mappings = new Mappings([], { tenant_mappings: 10 });
  assert.equal(mappings.isEmpty, true);
  mappings.set("acme", [mapping("in.t.acme.r.a", "a")]);
  assert.equal(mappings.isEmpty, false);
  assert.equal(found(mappings, "in.t.acme.r.a"), "a");
  assert.equal(found(mappings, "in.t.acme.r.b"), undefined);
  assert.equal(found(mappings, "in.t.globex.r.a", "globex"), undefined);
  mappings.set("acme", []);
  assert.equal(mappings.isEmpty, true);
});

Deno.test("unusable mappings leave the former ones in force, and without former ones everything is refused", () => {
  const mappings = new Mappings([], { tenant_mappings: 3 });
  mappings.set("acme", [mapping("in.t.acme.r.a", "a")]);
  assert.match(mappings.set("acme", [mapping("in.t.ac*me.r", "b")]) ?? "", /not a subject pattern/);
  assert.equal(found(mappings, "in.t.acme.r.a"), "a");
  assert.match(mappings.set("globex", [mapping("in..r", "b")]) ?? "", /empty token/);
  assert.match(found(mappings, "in.t.globex.r.x", "globex") ?? "", /empty token/);
  assert.equal(mappings.tenant_mappings, 1);
  assert.equal(mappings.set("globex", [mapping("in.t.globex.r.b", "b")]), undefined);
  assert.equal(mappings.tenant_mappings, 2);
  assert.equal(found(mappings, "in.t.globex.r.b", "globex"), "b");
  mappings.refuse("initech", "unreadable");
  assert.equal(found(mappings, "in.t.initech.r.b", "initech"), "unreadable");
  mappings.set("initech", []);
  assert.equal(found(mappings, "in.t.initech.r.b", "initech"), undefined);
});

Deno.test("a tenant with many mappings leaves room for another's, and stored ones hold in any order", () => {
  const mappings = new Mappings([], { tenant_mappings: 9 });
  const many = (tenant: string, count: number) =>
    Array.from({ length: count }, (_, n) => mapping(`in.t.${tenant}.r.${n}`, `s${n}`));
  const refused = { reason: "settings-conflict" };
  mappings.requireRoom("acme", many("acme", 8));
  assert.throws(() => mappings.requireRoom("acme", many("acme", 9)), refused);
  mappings.set("acme", many("acme", 8));
  mappings.requireRoom("globex", many("globex", 1));
  assert.throws(() => mappings.requireRoom("globex", many("globex", 2)), refused);
  // Two Shields have accepted changes at once.
  assert.equal(mappings.set("globex", many("globex", 8)), undefined);
  assert.equal(found(mappings, "in.t.globex.r.7", "globex"), "s7");
  mappings.requireRoom("globex", many("globex", 7));
});
