// What a bundle for a page may have, and what it must not.
import assert from "node:assert/strict";
import { bundleProblems, contributors } from "./bundle_size_rules.ts";

const INPUTS = { "sdk/a.ts": { bytesInOutput: 10 }, "proto/b.ts": { bytesInOutput: 20 } };

Deno.test("a bundle of the SDK's own code has no problems", () => {
  assert.deepEqual(bundleProblems("export const a=1;const Denomination=2;", INPUTS), []);
});

Deno.test("what no page should load is found", () => {
  const problems = (text: string) => bundleProblems(text, INPUTS).join();
  assert.match(problems("Deno.exit()"), /Deno's API/);
  assert.match(problems('require("node:fs")'), /a module of Node/);
  assert.match(problems('import{a}from"left";'), /an import that is left/);
  assert.match(problems("eval(a)"), /made at run time/);
  const lazy = 'let a=await import("./http-A1.js")';
  assert.deepEqual(bundleProblems(lazy, INPUTS, ["http-A1.js"]), []);
  assert.match(bundleProblems(lazy, INPUTS, ["other-B2.js"]).join(), /an import that is left/);
});

Deno.test("a package in the bundle is found, one that was shaken out is not", () => {
  const path = "node_modules/@bufbuild/protobuf/dist/esm/index.js";
  assert.deepEqual(bundleProblems("", { [path]: { bytesInOutput: 0 } }), []);
  assert.match(bundleProblems("", { [path]: { bytesInOutput: 1 } }).join(), /no part of the SDK/);
  assert.match(
    bundleProblems("", { "proto/gen/arqon/v1/a_pb.ts": { bytesInOutput: 1 } }).join(),
    /no part of the SDK/,
  );
});

Deno.test("the largest contributors come first", () => {
  assert.deepEqual(contributors(INPUTS, 1), [["proto/b.ts", 20]]);
});
