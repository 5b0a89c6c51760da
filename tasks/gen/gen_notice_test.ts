/**
 * The packages of a program, and the form of their licences. One version for everything: the places that contain it,
 * and invalid versions.
 */
import assert from "node:assert/strict";
import {
  licencesText,
  licensedPackages,
  noticeText,
  packagesOf,
  repositoryUrl,
} from "./gen_notice.ts";
import { ROOT } from "../checkout/source_files.ts";
import {
  isVersion,
  readVersion,
  renderVersionModule,
  ROOT_MANIFEST,
  versionedFiles,
  withVersion,
} from "./gen_version.ts";

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

const line = /^(version = ")[^"]*(")$/gm;

Deno.test("a version is three numbers, or a numbered candidate of them", () => {
  for (const good of ["0.1.0", "10.20.30", "1.0.0-rc.1"]) assert(isVersion(good), good);
  const bad = ["", "1.0", "v1.0.0", "01.0.0", "1.0.0-beta.1", "1.0.0-rc.0", "1.0.0+x", "1.0.0\n"];
  for (const text of bad) assert(!isVersion(text), text);
});

Deno.test("the root deno.json must have a version of that form", () => {
  assert.equal(readVersion('{"version":"1.2.3"}'), "1.2.3");
  assert.throws(() => readVersion("{}"), /"version" is undefined; it must be X\.Y\.Z or/);
  assert.throws(() => readVersion('{"version":"1.2"}'), /"version" is "1\.2"; it must be/);
});

Deno.test("only the line of the version changes", () => {
  const text = 'name = "a"\nversion = "0.1.0"\nrequires = "0.1.0"\n';
  const changed = withVersion({ path: "p.toml", line }, text, "0.2.0");
  assert.equal(changed, 'name = "a"\nversion = "0.2.0"\nrequires = "0.1.0"\n');
});

Deno.test("a file with no position for the version, or with two, is named", () => {
  const file = { path: "p.toml", line };
  assert.throws(
    () => withVersion(file, "x\n", "0.2.0"),
    /^Error: p\.toml: 0 lines for the version/,
  );
  const twice = 'version = "1"\nversion = "2"\n';
  assert.throws(() => withVersion(file, twice, "0.2.0"), /^Error: p\.toml: 2 lines/);
  const member = { path: "m/deno.json", line, optional: true };
  assert.equal(withVersion(member, '{ "name": "m" }', "0.2.0"), '{ "name": "m" }');
  const oddly = '{ "name": "m", "version": "0.1.0" }';
  assert.throws(() => withVersion(member, oddly, "0.2.0"), /^Error: m\/deno\.json: 0 lines/);
});

Deno.test("a new version reaches every member, the servers and Python", async () => {
  const manifest = await Deno.readTextFile(`${ROOT}deno.json`);
  const files = versionedFiles(manifest);
  const paths = files.map(({ path }) => path);
  const members = ["proto", "shield", "brain", "sdk/typescript", "sdk/react", "arq"];
  for (const member of members) assert(paths.includes(`${member}/deno.json`), member);
  for (const file of [ROOT_MANIFEST, ...files]) {
    const text = await Deno.readTextFile(ROOT + file.path);
    const changed = withVersion(file, text, "98.76.54-rc.3");
    const different = changed.split("\n").filter((line) => !text.split("\n").includes(line));
    const is_member = members.some((member) => file.path === `${member}/deno.json`);
    if (file.optional === true && !is_member && different.length === 0) continue;
    assert.equal(different.length, file.places ?? 1, file.path);
    assert.match(different[0] ?? "", /98\.76\.54-rc\.3/);
  }
  assert.match(renderVersionModule("98.76.54"), /^export const VERSION = "98\.76\.54";$/m);
});
