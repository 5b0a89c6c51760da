// Problems of a package that must not be published.
import assert from "node:assert/strict";
import { checkPackage } from "./pack_check.ts";

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
