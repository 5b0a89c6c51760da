/**
 * Plain commands are checked against the routes of the admin API: each calls an existing route with parameters that it
 * accepts. Also how the command line parses shares of the traffic.
 */
import assert from "node:assert/strict";
import { listedRoutes } from "../../../shield/description/admin_api.ts";
import { SHIELD_CAPABILITIES } from "../../../shield/capabilities.ts";
import { buildProgram } from "../program.ts";
import { namePairs } from "../../bus/request_members.ts";
import { type Asked, askedRoute } from "./asks.ts";
import type { Action } from "./define.ts";
import { InvalidArgumentError } from "commander";
import { percentage } from "./options.ts";

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

Deno.test("a share is a percentage with its sign or without, and a fraction is refused with both readings", () => {
  const taken: [string, number][] = [
    ["1", 0.01],
    ["1%", 0.01],
    ["10", 0.1],
    ["12.5", 0.125],
    ["0.1%", 0.001],
    ["0", 0],
    ["100", 1],
    ["100%", 1],
  ];
  for (const [text, share] of taken) assert.equal(percentage(text), share, text);
  const refused: [string, RegExp][] = [
    ["0.1", /0\.1% or 10%/],
    [".07", /0\.07% or 7%/],
    ["101", /0 to 100/],
    ["100.1%", /0 to 100/],
    ["-1", /0 to 100/],
    ["ten", /0 to 100/],
    ["", /0 to 100/],
  ];
  for (const [text, message] of refused) {
    assert.throws(
      () => percentage(text),
      (error) => error instanceof InvalidArgumentError && message.test(error.message),
      text,
    );
  }
});
