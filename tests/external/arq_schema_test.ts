/**
 * `arq schema` on the public transit feed schema: every published version is built, and real feeds are
 * judged without a bus. Needs the data folder: `deno task test:external DIR`, which becomes `Deno.args[0]`.
 */
import assert from "node:assert/strict";
import { protoText } from "../../arq/schemas/proto_text.ts";
import { buildSchema, SchemaBuildError } from "../../arq/schemas/schema_build.ts";
import { diskIo, folderWith } from "../../arq/testing/disk_io.ts";
import { runArq } from "../../arq/testing/run_arq.ts";

const DATA = Deno.args[0];
const FOLDER = `${DATA}/gtfs-realtime`;

async function names(folder: string, end: string): Promise<string[]> {
  if (DATA === undefined) throw new Error("run this with `deno task test:external DIR`");
  const entries = await Array.fromAsync(Deno.readDir(`${FOLDER}/${folder}`));
  return entries.map(({ name }) => `${FOLDER}/${folder}/${name}`)
    .filter((name) => name.endsWith(end)).sort();
}

Deno.test("44 published versions build, but the one that does not compile", async () => {
  const broken: string[] = [];
  const files = await names("versions", ".proto");
  assert.equal(files.length, 44);
  for (const file of files) {
    try {
      const { schema } = await buildSchema(diskIo("/"), file);
      assert.ok(schema.registry.getMessage("transit_realtime.FeedMessage"));
    } catch (error) {
      if (!(error instanceof SchemaBuildError)) throw error;
      broken.push(error.message);
    }
  }
  assert.equal(broken.length, 1);
  assert.match(broken[0] ?? "", /\/07_[^:]*:66:44:field number `2` used more than once$/);
});

Deno.test("the newest version as text builds to the same bytes", async () => {
  const file = (await names("versions", ".proto")).at(-1) ?? "";
  const built = await buildSchema(diskIo("/"), file);
  const [name = ""] = built.files;
  const desc = built.schema.registry.getFile(name);
  assert.ok(desc);
  await using folder = await folderWith({ [name]: protoText(desc, built.schema.registry) });
  const again = await buildSchema(diskIo(folder.path), name);
  assert.deepEqual(again.gzipped, built.gzipped);
});

Deno.test("real feeds are valid, and truncated ones are reported with the path", async () => {
  const schema = (await names("versions", ".proto")).at(-1) ?? "";
  await using folder = await folderWith({});
  const judge = (file: string) => {
    const message = ["--message", "transit_realtime.FeedMessage"];
    return runArq(["schema", "validate", file, "--local", schema, ...message, "--json"]);
  };
  for (const file of (await names("feeds/nyct", ".pb")).slice(0, 3)) {
    const good = JSON.parse((await judge(file)).stdout);
    assert.equal(good.valid, true, file);
    assert.ok(good.unknown > 0, "the agency's extensions are outside of the schema");
    const bytes = await Deno.readFile(file);
    await Deno.writeFile(`${folder.path}/cut.pb`, bytes.subarray(0, -7));
    const { code, stdout } = await judge(`${folder.path}/cut.pb`);
    assert.equal(code, 1);
    const [violation] = JSON.parse(stdout).violations;
    assert.deepEqual([violation.rule, /^entity\[\d+\]/.test(violation.path)], ["truncated", true]);
  }
});
