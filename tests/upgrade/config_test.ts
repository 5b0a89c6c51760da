/** Every key of the last release's configuration is known here, or is refused with the required change. */
import assert from "node:assert/strict";
import { ConfigError, parseConfig } from "../../shared/config/load.ts";
import { isMissing, releaseFile } from "./release_tree.ts";

interface Node {
  readonly properties?: Readonly<Record<string, Node>>;
  readonly items?: Node;
}

/** The paths of all keys; "[]" stands behind a table that may occur again. */
function pathsOf(node: Node, path = ""): string[] {
  return Object.entries(node.properties ?? {}).flatMap(([name, child]) => {
    const own = path === "" ? name : `${path}.${name}`;
    return [own, ...pathsOf(child, own), ...pathsOf(child.items ?? {}, `${own}[]`)];
  });
}

/** A file that sets the key to nothing sensible. */
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
