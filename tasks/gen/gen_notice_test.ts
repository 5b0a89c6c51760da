/** The packages of a program, and the form of their licences. */
import assert from "node:assert/strict";
import {
  licencesText,
  licensedPackages,
  noticeText,
  packagesOf,
  repositoryUrl,
} from "./gen_notice.ts";
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

Deno.test("every package that the roots need, once, and nothing else", () => {
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

Deno.test("packages with the same text share it, and one without a licence is an error", () => {
  const one = { version: "1.0.0", license: "MIT", repository: "https://x.example/y", texts: ["T"] };
  const packages = [
    { ...one, name: "a" },
    { ...one, name: "b", repository: "" },
    { ...one, name: "c", texts: [] },
  ];
  const text = licencesText(packages);
  assert.match(text, /\na 1\.0\.0 \(MIT\) https:\/\/x\.example\/y\nb 1\.0\.0 \(MIT\)\n\nT\n/);
  assert.match(text, /\nc 1\.0\.0 \(MIT\) .*\n\nIts package brings no text/);
  assert.match(
    noticeText(packages),
    /\na 1\.0\.0 \(MIT\) .*\nb 1\.0\.0 \(MIT\)\nc 1\.0\.0 \(MIT\) .*\n$/,
  );
  for (const write of [licencesText, noticeText]) {
    assert.throws(() => write([{ ...one, name: "d", license: "" }]), /d 1\.0\.0 names no/);
  }
});

Deno.test("a repository becomes a URL that opens in a browser", () => {
  for (
    const given of [
      "git+https://github.com/a/b.git",
      { type: "git", url: "git://github.com/a/b.git" },
      { url: "ssh://git@github.com/a/b.git" },
      "github:a/b",
      "git@github.com:a/b.git",
      "a/b",
    ]
  ) assert.equal(repositoryUrl(given), "https://github.com/a/b");
  assert.equal(repositoryUrl(undefined), "");
});

Deno.test("the notice of the checkout names the packages that the programs import", async () => {
  const text = await Deno.readTextFile(`${ROOT}NOTICE`);
  const names = ["zod", "prom-client", "@nats-io/nats-core", "jose", "commander"];
  for (const name of names) {
    assert.match(text, new RegExp(`^${RegExp.escape(name)} \\d+\\.\\d+\\.\\d+ \\(\\S+\\) `, "m"));
  }
  assert.doesNotMatch(text, /^(?:fast-check|playwright-core|vitepress) /m, "a tool's");
  const packages = await licensedPackages(ROOT);
  assert.equal(noticeText(packages), text);
  const licences = licencesText(packages);
  for (const { name, texts } of packages) {
    for (const one of texts) assert.ok(licences.includes(one), name);
    assert.ok(texts.length > 0 || !names.includes(name), `${name} has a text`);
  }
});
