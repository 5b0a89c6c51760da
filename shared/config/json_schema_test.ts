/** The generated schema agrees with the loader. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { isId, isRoomPattern } from "@arqon/proto";
import { configJsonSchema, expectation, type JsonSchema, schemaAt } from "./json_schema.ts";
import { parseConfig } from "./load.ts";

const root = configJsonSchema();

function leaves(node: JsonSchema, path: string[] = []): [string, JsonSchema][] {
  if (node.items?.type === "object") return leaves(node.items, [...path, "[]"]);
  // A table without keys has constants only.
  if (node.properties === undefined) return [[path.join("."), node]];
  return Object.entries(node.properties).flatMap(([name, child]) => leaves(child, [...path, name]));
}

Deno.test("every key has a description and an expectation in words", () => {
  for (const [path, node] of leaves(root)) {
    assert.ok((node.description ?? "") !== "", `${path} has no description`);
    assert.notEqual(expectation(node), "", path);
  }
});

Deno.test("every integer has a range", () => {
  for (const [path, node] of leaves(root)) {
    if (node.type !== "integer") continue;
    assert.ok(node.minimum !== undefined && node.maximum !== undefined, path);
    assert.ok(node.maximum < Number.MAX_SAFE_INTEGER, `${path} is unbounded`);
  }
});

Deno.test("every default of the schema is what an empty file gives", () => {
  // Tables that are absent by default, with what they require.
  const text = "[nats]\nurls = ['nats://h']\n[quota]\nurl = 'redis://h'\n" +
    "[bridge.postgres]\ntenant = 't'\ndatabase = 'postgres://b@h/d'\n";
  const config: unknown = parseConfig(text, { file: "config.toml" });
  for (const [path, node] of leaves(root)) {
    if (node.default === undefined || path.includes("[]")) continue;
    let value = config;
    for (const step of path.split(".")) value = (value as Record<string, unknown>)[step];
    assert.deepEqual(value, node.default, path);
  }
});

Deno.test("every table refuses unknown keys in the editor too", () => {
  const visit = (node: JsonSchema & { additionalProperties?: unknown }, path: string) => {
    if (node.type === "object") assert.equal(node.additionalProperties, false, path);
    if (node.items !== undefined) visit(node.items, `${path}[]`);
    for (const [name, child] of Object.entries(node.properties ?? {})) {
      visit(child, `${path}.${name}`);
    }
  };
  visit(root, "config");
});

Deno.test("the patterns for editors agree with the checks at start", () => {
  const pattern = (...path: (string | number)[]) =>
    new RegExp(schemaAt(root, path)?.pattern ?? assert.fail(`no pattern at ${path.join(".")}`));
  const node_id = pattern("server", "node_id");
  const tenant = pattern("auth", "issuers", 0, "tenants", 0);
  const room = pattern("auth", "require_signature", 0, "room");
  const text = fc.oneof(
    fc.string({ maxLength: 6 }),
    fc.stringMatching(/^[A-Za-z0-9_~:=-]{0,66}\*{0,2}$/),
    fc.constantFrom("", "*", "**", "a*", "a*b", "x".repeat(64), "x".repeat(65), "a\n"),
  );
  fc.assert(fc.property(text, (value) => {
    assert.equal(node_id.test(value), isId(value), JSON.stringify(value));
    assert.equal(tenant.test(value), value === "*" || isId(value), JSON.stringify(value));
    assert.equal(room.test(value), isRoomPattern(value), JSON.stringify(value));
  }));
});

Deno.test("a path outside the schema leads nowhere", () => {
  assert.equal(schemaAt(root, ["nothing"]), undefined);
  assert.equal(schemaAt(root, ["server", "port", "deeper"]), undefined);
  assert.equal(schemaAt(root, ["constructor"]), undefined);
  assert.equal(schemaAt(root, ["server", 0]), undefined);
});
