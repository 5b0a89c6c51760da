// What is packed: no package that must not be published, and every thread that is started by URL; flags of binaries.
import assert from "node:assert/strict";
import { checkPackage } from "./pack_tarball.ts";
import { isProduct, listFiles, ROOT } from "../checkout/source_files.ts";
import { PROGRAMS, STARTED } from "./pack_sources.ts";
import { compileFlags } from "./compile.ts";

const GOOD = {
  "package.json": JSON.stringify({
    exports: { ".": { types: "./mod.d.ts", default: "./mod.js" } },
  }),
  "README.md": "# Thing",
  "LICENSE": "Apache",
  "mod.js": '// Deno.exit is not called.\nexport * from "./a.js";\n',
  "mod.d.ts": 'export * from "./a.js";\n',
  "a.js": "export const a = 1;\n",
  "a.d.ts": "export declare const a: 1;\n",
};
const check = (change: Record<string, string | undefined>) =>
  checkPackage(
    new Map(
      Object.entries({ ...GOOD, ...change }).filter((entry): entry is [string, string] =>
        entry[1] !== undefined
      ),
    ),
  );

Deno.test("a package with code, types and papers has no problems", () => {
  assert.deepEqual(check({}), []);
});

Deno.test("tests, sources and foreign files are found", () => {
  assert.match(check({ "a_test.js": "", "a_test.d.ts": "" }).join(), /a_test\.js is for tests/);
  assert.match(check({ "testing/b.js": "", "testing/b.d.ts": "" }).join(), /testing\/b\.js is for/);
  assert.match(check({ "a.ts": "" }).join(), /a\.ts does not belong there/);
  assert.match(check({ ".env": "" }).join(), /\.env does not belong there/);
});

Deno.test("missing papers, types and entries are found", () => {
  assert.match(check({ LICENSE: undefined }).join(), /LICENSE is missing/);
  assert.match(check({ "a.d.ts": undefined }).join(), /a\.js has no types/);
  assert.match(check({ "mod.js": undefined }).join(), /the default of "\." \(mod\.js\) are not/);
});

Deno.test("secrets are found in every file", () => {
  const token = `eyJ${"a".repeat(20)}.eyJ${"b".repeat(20)}.${"c".repeat(20)}`;
  assert.match(check({ "README.md": `token: "${token}"` }).join(), /README\.md .*a token/);
  const jwk = JSON.stringify({ kty: "OKP", d: "x".repeat(43) });
  assert.match(check({ "a.js": jwk }).join(), /a\.js .*a private JWK/);
});

Deno.test("code that depends on one runtime is found", () => {
  assert.match(check({ "a.js": "Deno.exit()" }).join(), /a\.js uses Deno's API/);
  assert.match(check({ "a.js": 'import "node:fs"' }).join(), /a\.js imports what only one/);
  assert.match(check({ "a.js": "process.env.X" }).join(), /a\.js uses Node's process/);
  assert.match(check({ "a.d.ts": 'export * from "./b.ts"' }).join(), /a\.d\.ts imports a source/);
});

Deno.test("every thread and child that our programs start by URL is packed", async () => {
  const started = new Set<string>();
  for (const path of (await listFiles([".ts"])).filter(isProduct)) {
    const text = await Deno.readTextFile(`${ROOT}${path}`);
    for (
      const [, file = ""] of text.matchAll(
        /new URL\(\s*"(\.{1,2}\/[^"]+\.ts)",\s*import\.meta\.url/g,
      )
    ) {
      started.add(new URL(file, `file:///${path}`).pathname.slice(1));
    }
  }
  const known = [...STARTED, ...Object.values(PROGRAMS)];
  assert.ok(started.has("arq/replay/replay_thread.ts"), "threads are found by their URL");
  assert.deepEqual([...started].sort().filter((path) => !known.includes(path)), []);
});

Deno.test("a compiled program may start itself at any path, and contains the modules that it loads later", () => {
  assert.deepEqual(
    compileFlags(["--allow-run=deno,sh", "--allow-net", "--unstable-lazy-dynamic-imports"]),
    ["--allow-run", "--allow-net"],
  );
});
