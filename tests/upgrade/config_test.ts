/**
 * Every key of the last release's configuration is known here, or is refused with what to do about the line; a missing
 * required key is reported with the line to add.
 */
import assert from "node:assert/strict";
import { ConfigError, parseConfig } from "../../shared/config/load.ts";
import { isMissing, releaseFile } from "./release_tree.ts";

interface Node {
  readonly properties?: Readonly<Record<string, Node>>;
  readonly items?: Node;
  readonly required?: readonly string[];
}

/** The paths of all keys; "[]" follows a table that may be repeated. */
function pathsOf(node: Node, path = ""): string[] {
  return Object.entries(node.properties ?? {}).flatMap(([name, child]) => {
    const own = path === "" ? name : `${path}.${name}`;
    return [own, ...pathsOf(child, own), ...pathsOf(child.items ?? {}, `${own}[]`)];
  });
}

/** A file that sets the key to an invalid value. */
function fileWith(path: string): string {
  const [, table = "", name = ""] = /^(?:(.*)\.)?([^.]+)$/.exec(path) ?? [];
  const head = table.endsWith("[]") ? `[[${table.slice(0, -2)}]]` : `[${table}]`;
  return `${table === "" ? "" : head}\n${name} = 1979-05-27\n`;
}

Deno.test("a configuration of the last release is read, or refused with the line to change", async () => {
  if (await isMissing()) return;
  const read = (text: string): Node => JSON.parse(text);
  const before = read(await releaseFile("docs/config.schema.json"));
  const now = new Set(pathsOf(read(await Deno.readTextFile("docs/config.schema.json"))));
  const gone = pathsOf(before).filter((path) => !now.has(path) && !path.includes("[]."));
  for (const path of gone) {
    assert.throws(
      () => parseConfig(fileWith(path), { file: "config.toml" }),
      (error) => error instanceof ConfigError && /remove the key|did you mean/.test(error.message),
      path,
    );
  }
});

/** The tables around a required key, and its name. */
function requiredOf(node: Node, path = ""): (readonly [string, string])[] {
  const own = (node.required ?? []).map((name) => [path, name] as const);
  const below = Object.entries(node.properties ?? {}).flatMap(([name, child]) => {
    const at = path === "" ? name : `${path}.${name}`;
    return [...requiredOf(child, at), ...requiredOf(child.items ?? {}, `${at}[]`)];
  });
  return [...own, ...below];
}

/** A file with an empty table. */
function fileWithout(table: string): string {
  const steps = table.split(".");
  const heads = steps.map((step, at) => {
    const name = steps.slice(0, at + 1).join(".").replaceAll("[]", "");
    if (step.endsWith("[]")) return `[[${name}]]\n`;
    return at === steps.length - 1 ? `[${name}]\n` : "";
  });
  return heads.join("");
}

Deno.test("a key that an older file has not and this release requires is named with the line to add", async () => {
  const required = requiredOf(JSON.parse(await Deno.readTextFile("docs/config.schema.json")));
  assert.ok(required.length > 20, `${required.length} keys`);
  for (const [table, name] of required) {
    assert.throws(
      () => parseConfig(fileWithout(table), { file: "config.toml" }),
      (error) =>
        error instanceof ConfigError &&
        error.problems.some(({ key, text }) =>
          key.endsWith(`.${name}`) && text.includes(`; add the line ${name} = `)
        ),
      `${table} ${name}`,
    );
  }
});
