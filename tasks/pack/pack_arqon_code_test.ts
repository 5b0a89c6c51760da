// How a source of ours becomes what Deno runs below a node_modules.
import assert from "node:assert/strict";
import { javaScript, npmSpecifier } from "./pack_arqon_code.ts";

const RENAMES = {
  packages: {
    "@panva/jose": "npm:jose@6.2.17",
    "@bufbuild/protobuf/wkt": "npm:@bufbuild/protobuf@2.17.0/wkt",
  },
  members: { "@arqon/proto": "proto/mod.ts" },
};
const js = (source: string, path = "arq/commands/room/pub.ts") => javaScript(path, source, RENAMES);

Deno.test("types go, and neighbours are imported as JavaScript", () => {
  assert.equal(
    js('import { a, type B } from "./a.ts";\nexport const c: B = a;\nexport * from "../d.ts";'),
    'import { a } from "./a.js";\nexport const c = a;\nexport * from "../d.js";\n',
  );
  assert.match(js('export const late = () => import("./late.ts");'), /import\("\.\/late\.js"\)/);
});

Deno.test("packages get npm's names, members their place", () => {
  assert.match(js('import { SignJWT } from "@panva/jose"; SignJWT;'), /from "jose"/);
  assert.match(js('import * as w from "@bufbuild/protobuf/wkt"; w;'), /"@bufbuild\/protobuf\/wkt"/);
  assert.match(
    js('import { x } from "@arqon/proto"; x;'),
    /from "\.\.\/\.\.\/\.\.\/proto\/mod\.js"/,
  );
  assert.match(js('import { x } from "@arqon/proto"; x;', "top.ts"), /from "\.\/proto\/mod\.js"/);
  assert.match(js('import { join } from "node:path"; join;'), /from "node:path"/);
});

Deno.test("a package that is not packed is an error, words in a text are none", () => {
  assert.throws(() => js('import "left-pad";'), /arq\/commands\/room\/pub\.ts imports "left-pad"/);
  assert.match(js("export const text = 'import x from \"left-pad\"';"), /left-pad/);
});

Deno.test("what is imported as text keeps its name, what is started by URL does not", () => {
  const text = 'import policy from "../../policies/a.ts" with { type: "text" }; policy;';
  assert.match(js(text), /"\.\.\/\.\.\/policies\/a\.ts" with/);
  const started = js('new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });');
  assert.match(started, /new URL\("\.\/worker\.js", import\.meta\.url\)/);
});

Deno.test("a specifier of npm loses its version alone", () => {
  assert.equal(npmSpecifier("npm:@a/b@1.2.3-rc.1/c/d.js"), "@a/b/c/d.js");
  assert.equal(npmSpecifier("npm:a@1.2.3"), "a");
  assert.throws(() => npmSpecifier("jsr:@a/b@1"), TypeError);
});
