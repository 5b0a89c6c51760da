/** Which packages a program carries, and how their licences are told. */
import assert from "node:assert/strict";
import { noticeText, packagesOf, repositoryUrl } from "./gen_notice.ts";
import { ROOT } from "../checkout/source_files.ts";

const LOCK = {
  specifiers: { "npm:a@1.0.0": "1.0.0_@p+q@3.0.0", "npm:@s/b@2.0.0": "2.0.0" },
  npm: {
    "a@1.0.0_@p+q@3.0.0": { dependencies: ["@p/q", "c@4.0.0"] },
    "@p/q@3.0.0": {},
    "@s/b@2.0.0": { dependencies: ["c@5.0.0"] },
    "c@4.0.0": { dependencies: ["a"] },
    "c@5.0.0": {},
    "tool@1.0.0": {},
  },
};

Deno.test("all that the roots lead to, once, and nothing else", () => {
  assert.deepEqual(packagesOf(LOCK, ["npm:a@1.0.0/sub/path.js", "npm:@s/b@2.0.0"]), [
    "@p/q@3.0.0",
    "@s/b@2.0.0",
    "a@1.0.0",
    "c@4.0.0",
    "c@5.0.0",
  ]);
  assert.deepEqual(packagesOf(LOCK, ["npm:@s/b@2.0.0"]), ["@s/b@2.0.0", "c@5.0.0"]);
  assert.throws(() => packagesOf(LOCK, ["npm:a@9.0.0"]), /deno\.lock has no a@9\.0\.0/);
});

Deno.test("packages with the same text stand together, and one without a licence is an error", () => {
  const one = { version: "1.0.0", license: "MIT", repository: "https://x.example/y", texts: ["T"] };
  const text = noticeText([
    { ...one, name: "a" },
    { ...one, name: "b", repository: "" },
    { ...one, name: "c", texts: [] },
  ]);
  assert.match(text, /\na 1\.0\.0 \(MIT\)\n {2}https:\/\/x\.example\/y\nb 1\.0\.0 \(MIT\)\n\nT\n/);
  assert.match(text, /\nc 1\.0\.0 \(MIT\)\n.*\n\nIts package brings no text/);
  assert.throws(() => noticeText([{ ...one, name: "d", license: "" }]), /d 1\.0\.0 names no/);
});

Deno.test("a repository is told as a URL that opens", () => {
  for (
    const given of [
      "git+https://github.com/a/b.git",
      { type: "git", url: "git://github.com/a/b.git" },
      { url: "ssh://git@github.com/a/b.git" },
      "github:a/b",
      "a/b",
    ]
  ) assert.equal(repositoryUrl(given), "https://github.com/a/b");
  assert.equal(repositoryUrl(undefined), "");
});

Deno.test("the notice of the checkout names what the programs import", async () => {
  const text = await Deno.readTextFile(`${ROOT}NOTICE`);
  for (const name of ["zod", "prom-client", "@nats-io/nats-core", "jose", "commander", "ws"]) {
    assert.match(text, new RegExp(`^${RegExp.escape(name)} \\d+\\.\\d+\\.\\d+ \\(\\S+\\)$`, "m"));
  }
  assert.doesNotMatch(text, /^(?:fast-check|playwright-core|vitepress) /m, "a tool's");
});
