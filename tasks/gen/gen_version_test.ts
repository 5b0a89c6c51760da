/** One version for everything: the places that contain it, and invalid versions. */
import assert from "node:assert/strict";
import {
  isVersion,
  readVersion,
  renderVersionModule,
  ROOT_MANIFEST,
  versionedFiles,
  withVersion,
} from "./gen_version.ts";
import { ROOT } from "../checkout/source_files.ts";

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
