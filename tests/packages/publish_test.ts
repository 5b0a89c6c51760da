/**
 * `deno publish --dry-run`: JSR would accept both packages, as far as can be checked offline: types of the public API,
 * imports, files. Nothing is published.
 */
import assert from "node:assert/strict";

const ROOT = new URL("../../", import.meta.url).pathname;

/** Runs the check for a member; returns its output and the paths that it would publish. */
async function dryRun(member: string): Promise<{ output: string; files: string[] }> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    // Checks a working tree that may have changes; a release is made from a clean one.
    args: ["publish", "--dry-run", "--allow-dirty"],
    cwd: ROOT + member,
    stdin: "null",
    env: { NO_COLOR: "1" },
  }).output();
  const output = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("");
  assert.ok(success, output);
  const prefix = `file://${ROOT}${member}/`;
  const files = output.split("\n").map((line) => line.trim()).filter((line) =>
    line.startsWith(prefix)
  )
    .map((line) => line.slice(prefix.length).replace(/ \(.*$/, ""));
  return { output, files };
}

for (
  const [member, must] of [["proto", "gen/errors.ts"], [
    "sdk/typescript",
    "connection/connection.ts",
  ]]
) {
  Deno.test(`JSR would take ${member}: no slow types, no tests, no warnings`, async () => {
    const { output, files } = await dryRun(member!);
    assert.doesNotMatch(output, /warning|slow type\b.*\[/i);
    for (const file of ["deno.json", "README.md", "mod.ts", must!]) {
      assert.ok(files.includes(file), `${file} is not among ${files.join(", ")}`);
    }
    assert.deepEqual(files.filter((file) => /_test\.|testing|_pb\.ts$/.test(file)), []);
  });
}
