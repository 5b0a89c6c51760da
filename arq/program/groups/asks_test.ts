/**
 * Plain commands are checked against the routes of the admin API: each calls an existing route with parameters that it
 * accepts.
 */
import assert from "node:assert/strict";
import { listedRoutes } from "../../../shield/description/admin_api.ts";
import { SHIELD_CAPABILITIES } from "../../../shield/capabilities.ts";
import { buildProgram } from "../program.ts";
import { namePairs } from "../../bus/request_members.ts";
import { type Asked, askedRoute } from "./asks.ts";
import type { Action } from "./define.ts";

const ROUTES = listedRoutes(SHIELD_CAPABILITIES);
const shapeOf = (template: string) => template.replace(/\{\w+\}/g, "{}");

function everyAsked(): Asked[] {
  const found: Asked[] = [];
  buildProgram((action) => {
    for (const one of "either" in action ? action.either as Action[] : [action]) {
      if ("asked" in one) found.push(one.asked as Asked);
    }
    return () => Promise.resolve();
  });
  return found;
}

function bodyMembers(schema: unknown): string[] {
  const { properties = {}, anyOf = [], oneOf = [], allOf = [] } = schema as Record<
    string,
    object[]
  >;
  const parts = [...anyOf, ...oneOf, ...allOf].flatMap(bodyMembers);
  return [...Object.keys(properties), ...parts];
}

Deno.test("every plain command uses an existing route, with its parameters and members", () => {
  const asked = everyAsked();
  assert.ok(asked.length > 10, "the definitions were read");
  for (const { route, body } of asked) {
    for (const text of [route].flat()) {
      const { method, template, query } = askedRoute(text);
      const found = ROUTES.find((one) =>
        one.method === method && shapeOf(one.template) === shapeOf(template)
      );
      assert.ok(found, `${text} is no route`);
      for (const [name] of query) assert.ok(found.query.includes(name), `${text}: ${name}`);
      assert.equal(found.body === undefined, body === undefined, `${text}: a body`);
      if (body === undefined) continue;
      const members = bodyMembers(found.body?.schema);
      for (const [name] of namePairs(body)) assert.ok(members.includes(name), `${text}: ${name}`);
    }
  }
});
