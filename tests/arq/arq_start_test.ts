/**
 * The modules that the start of `arq` loads, counted in the module graph: no command pays for another one.
 * docs/performance.md has times.
 */
import assert from "node:assert/strict";
import { deno } from "../../tasks/checkout/programs.ts";

const ROOT = new URL("../../", import.meta.url);

interface Dependency {
  readonly code?: { readonly specifier?: string };
  readonly isDynamic?: boolean;
}

interface Graph {
  readonly modules: readonly {
    readonly specifier: string;
    readonly dependencies?: readonly Dependency[];
  }[];
  readonly redirects: Readonly<Record<string, string>>;
}

/** Everything loaded before a file's own first line runs: paths in the checkout, and packages. */
async function loadedBy(path: string): Promise<string[]> {
  const { stdout } = await deno(["info", "--json", path]);
  const { modules, redirects }: Graph = JSON.parse(stdout);
  const dependencies = new Map(modules.map((one) => [one.specifier, one.dependencies ?? []]));
  const loaded = new Set<string>();
  const walk = (specifier: string) => {
    const found = redirects[specifier] ?? specifier;
    if (loaded.has(found)) return;
    loaded.add(found);
    for (const { code, isDynamic } of dependencies.get(found) ?? []) {
      if (code?.specifier !== undefined && isDynamic !== true) walk(code.specifier);
    }
  };
  walk(new URL(path, ROOT).href);
  return [...loaded].map((one) => one.startsWith(ROOT.href) ? one.slice(ROOT.href.length) : one)
    .sort();
}

Deno.test("deno walks the graph of what a command loads later only when it loads it", async () => {
  const { tasks } = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));
  assert.match(tasks.arq, /--unstable-lazy-dynamic-imports /);
});

const isPackage = (module: string) => /^(?:npm|jsr|node|https?):/.test(module);

Deno.test("arq --version loads its own few files: no commander, no protocol, no package", async () => {
  const loaded = await loadedBy("arq/main.ts");
  assert.deepEqual(loaded, [
    ...["bus/folders", "main", "program/called_as"].map((own) => `arq/${own}.ts`),
    ...["disk_files", "io", "whole_file"].map((own) => `arq/terminal/${own}.ts`),
    ...["containers/concat", "deno_versions", "logs/line_queue", "version", "within"]
      .map((light) => `shared/${light}.ts`),
  ]);
});

Deno.test("the definition of the commands loads no command, no SDK and only commander", async () => {
  const loaded = await loadedBy("arq/program/program.ts");
  const packages = loaded.filter(isPackage).map((one) => one.replace(/^npm:\/?|@[^@]*$/g, ""));
  assert.deepEqual(packages, ["commander"]);
  assert.deepEqual(loaded.filter((one) => /^(?:arq\/commands|sdk|brain)\//.test(one)), []);
});

for (const path of ["arq/commands/room/pub.ts", "arq/commands/cluster/status.ts"]) {
  Deno.test(`${path} loads no package and no other command`, async () => {
    const loaded = await loadedBy(path);
    assert.deepEqual(loaded.filter((one) => isPackage(one) && !one.startsWith("node:")), []);
    const others = loaded.filter((one) =>
      /^(?:arq\/(?:commands|program)|shield|brain)\//.test(one)
    );
    assert.deepEqual(others, [path]);
  });
}

Deno.test("arq status, which uses HTTP, loads nothing of the SDK's connection", async () => {
  const loaded = await loadedBy("arq/commands/cluster/status.ts");
  const small = /^sdk\/typescript\/(?:options|time|token|wire)\//;
  assert.deepEqual(loaded.filter((one) => one.startsWith("sdk/") && !small.test(one)), []);
});

Deno.test("signing a token loads no package: only making keys needs jose", async () => {
  const loaded = await loadedBy("arq/bus/token.ts");
  assert.deepEqual(loaded.filter(isPackage), []);
});
