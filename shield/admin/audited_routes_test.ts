/** The names of the audit log are held to the routes of the admin API: nothing changes without one. */
import assert from "node:assert/strict";
import { SHIELD_CAPABILITIES } from "../capabilities.ts";
import { listedRoutes } from "../description/admin_api.ts";

/** They answer what a change would do, and are of interest when refused. */
const CHANGE_NOTHING = [
  ...["room_class.check", "schema.check", "schema.validate", "state.check", "state.check_module"],
];

Deno.test("every route that changes something has an action of its own, and is recorded", () => {
  const changing = listedRoutes(SHIELD_CAPABILITIES).filter(({ method }) => method !== "GET");
  assert.ok(changing.length > 20, "the tables of routes were read");
  for (const { method, template, audit } of changing) {
    assert.ok(audit !== undefined, `${method} ${template} has no name in the audit log`);
    const refused = typeof audit === "object" && "refused" in audit ? [audit.refused] : [];
    const only = refused.filter((action) => !CHANGE_NOTHING.includes(action));
    assert.deepEqual(only, [], `${method} ${template} is recorded`);
  }
});

Deno.test("no two routes have the same action", () => {
  const actions = listedRoutes(SHIELD_CAPABILITIES).flatMap(({ audit }) =>
    audit === undefined ? [] : JSON.stringify(audit)
  );
  assert.ok(actions.length > 60, "the tables of routes were read");
  assert.equal(new Set(actions).size, actions.length, actions.join());
});

Deno.test("a release from quarantine is recorded; reading what is in it only when it was refused", () => {
  const routes = listedRoutes(SHIELD_CAPABILITIES);
  const auditOf = (wanted: string) =>
    routes.find(({ method, template }) => `${method} ${template}` === wanted)?.audit;
  assert.equal(auditOf("DELETE /v1/policies/quarantine/{module}"), "policy.release");
  assert.deepEqual(auditOf("GET /v1/policies/quarantine"), { refused: "policy.read_quarantine" });
});
