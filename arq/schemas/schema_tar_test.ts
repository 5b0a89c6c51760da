/** The archive is read back by the system's `tar`. */
import assert from "node:assert/strict";
import { temporaryFolder } from "../../shared/testing/temporary_folder.ts";
import { tarOf } from "./schema_build.ts";

async function unpack(archive: Uint8Array<ArrayBuffer>): Promise<[string, Map<string, string>]> {
  await using folder = await temporaryFolder();
  await Deno.writeFile(`${folder.path}/a.tar`, archive);
  const run = async (args: string[]) => {
    const { code, stdout, stderr } = await new Deno.Command("tar", { args }).output();
    assert.equal(code, 0, new TextDecoder().decode(stderr));
    return new TextDecoder().decode(stdout);
  };
  const names = await run(["tf", `${folder.path}/a.tar`]);
  const files = new Map<string, string>();
  for (const name of names.trim().split("\n")) {
    files.set(name, await run(["xOf", `${folder.path}/a.tar`, name]));
  }
  return [names, files];
}

Deno.test("another tar reads the entries: empty, full blocks, long and foreign names", async () => {
  const texts: [string, string][] = [
    ["empty.proto", ""],
    ["block.proto", "x".repeat(512)],
    ["a/b/more.proto", "y".repeat(513)],
    [`${"deep/".repeat(28)}long.proto`, "z"],
  ];
  const files = texts.map(([path, text]) => ({ path, bytes: new TextEncoder().encode(text) }));
  const [, found] = await unpack(tarOf(files));
  assert.deepEqual([...found], texts);
});

Deno.test("a path that no archive can name is refused", () => {
  const bytes = new Uint8Array();
  assert.throws(() => tarOf([{ path: "x".repeat(101), bytes }]), RangeError);
  assert.throws(() => tarOf([{ path: `${"d/".repeat(100)}${"x".repeat(90)}`, bytes }]), RangeError);
});
