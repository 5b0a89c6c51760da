/** The audit log covers the routes of the admin API: every route that changes something has an action. */
import assert from "node:assert/strict";
import { listedRoutes } from "../route_list.ts";
import { SHIELD_CAPABILITIES } from "../../capabilities.ts";
import { actionOf, AUDIT_ACTIONS, AUDITED_ROUTES } from "./audit_actions.ts";

/** They only answer what a change would do; their refusals are of interest. */
const CHANGE_NOTHING = ["room_class.check", "schema.check", "schema.validate"];

Deno.test("every route that changes something has its own action, and is recorded", () => {
  const changing = listedRoutes(SHIELD_CAPABILITIES).filter(({ method }) => method !== "GET");
  assert.ok(changing.length > 20, "the tables of routes were read");
  for (const { method, template } of changing) {
    const { action, is_recorded } = actionOf(method, template);
    assert.notEqual(
      action,
      "read",
      `${method} ${template} has no action in shield/admin/routing/audit_actions.ts`,
    );
    assert.equal(is_recorded, !CHANGE_NOTHING.includes(action), `${method} ${template}`);
  }
});

Deno.test("every action belongs to an existing route", () => {
  const routes = new Set(
    listedRoutes(SHIELD_CAPABILITIES).map(({ method, template }) => `${method} ${template}`),
  );
  for (const route of Object.keys(AUDITED_ROUTES)) {
    assert.ok(routes.has(route), `${route} is not a route`);
  }
  assert.equal(new Set(AUDIT_ACTIONS).size, AUDIT_ACTIONS.length, "none is listed twice");
});

Deno.test("a release from quarantine is recorded; reading the quarantine only when refused", () => {
  const release = actionOf("DELETE", "/v1/policies/quarantine/{module}");
  assert.deepEqual(release, { action: "policy.release", is_recorded: true });
  const read = actionOf("GET", "/v1/policies/quarantine");
  assert.deepEqual(read, { action: "policy.read_quarantine", is_recorded: false });
});
