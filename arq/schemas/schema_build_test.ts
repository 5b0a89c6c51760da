/** `arq schema build` with the real buf, in this process, and which buf each form of arq starts. */
import assert from "node:assert/strict";
import { CommandError } from "../terminal/exit.ts";
import { bufCommand, buildSchema, messagesOf, SchemaBuildError } from "./schema_build.ts";
import { diskIo, folderWith } from "../testing/disk_io.ts";

async function problemsOf(files: Record<string, string>, path = "."): Promise<string> {
  await using folder = await folderWith(files);
  try {
    await buildSchema(diskIo(folder.path), path);
  } catch (error) {
    if (error instanceof SchemaBuildError || error instanceof CommandError) return error.message;
    throw error;
  }
  return "it compiles";
}

Deno.test("a folder compiles with imports, well-known types and rules, the same bytes each time", async () => {
  await using folder = await folderWith({
    "fleet/v1/fleet.proto": `syntax = "proto3"; package fleet.v1;
      import "fleet/v1/kinds.proto"; import "buf/validate/validate.proto";
      import "google/protobuf/timestamp.proto";
      message Vehicle { string id = 1 [(buf.validate.field).string.min_len = 1]; Kind kind = 2;
        google.protobuf.Timestamp at = 3; message Inner {} }`,
    "fleet/v1/kinds.proto": `syntax = "proto3"; package fleet.v1; enum Kind { KIND_X = 0; }`,
    "node_modules/dep/broken.proto": "not Protobuf",
    ".hidden/broken.proto": "not Protobuf",
  });
  const built = await buildSchema(diskIo(folder.path), ".");
  const again = await buildSchema(diskIo("/"), folder.path);
  assert.deepEqual(built.gzipped, again.gzipped);
  assert.deepEqual(built.files, ["fleet/v1/fleet.proto", "fleet/v1/kinds.proto"]);
  assert.deepEqual(messagesOf(built), ["fleet.v1.Vehicle"]);
  assert.ok(built.schema.registry.getFile("buf/validate/validate.proto"), "imports are in the set");
});

Deno.test("a set holds no file that nothing imports", async () => {
  await using folder = await folderWith({ "a.proto": `syntax = "proto3"; message M {}` });
  const { schema } = await buildSchema(diskIo(folder.path), ".");
  assert.deepEqual(schema.set.file.map(({ name }) => name), ["a.proto"]);
});

Deno.test("compile errors are reported with file, line and column below the given folder", async () => {
  const bad = `syntax = "proto3";\nmessage M {\n  Missing x = 1;\n  string y = 1;\n}\n`;
  const problems = await problemsOf({ "dir/sub/a.proto": bad }, "dir/");
  assert.match(problems, /^dir\/sub\/a\.proto:3:3:cannot find `Missing`/);
  assert.match(
    await problemsOf({ "a.proto": `syntax = "proto3"; import "gone.proto";` }),
    /^a\.proto:1:20:imported file does not exist/,
  );
  const cycle = {
    "a.proto": `syntax = "proto3"; import "b.proto";`,
    "b.proto": `syntax = "proto3"; import "a.proto";`,
  };
  assert.match(await problemsOf(cycle), /^[ab]\.proto:1:20:detected cyclic import/);
  const hostile = await problemsOf({ "a.proto": `import "\u001b[31m.proto"; message` });
  assert.ok(hostile.startsWith("a.proto:1:") && !hostile.includes("\u001b"), hostile);
});

Deno.test("invalid sources are reported before anything runs", async () => {
  assert.match(await problemsOf({ "a.txt": "" }), /^\.: not a folder with \.proto files/);
  assert.match(await problemsOf({}, "nowhere.proto"), /cannot read .*nowhere\.proto/);
  const long = `${"x".repeat(120)}.proto`;
  assert.match(await problemsOf({ [long]: "" }), /too long for an archive/);
});

Deno.test("a set that no bus would take is refused here too", async () => {
  const fields = Array.from({ length: 10_001 }, (_, at) => `message M${at} {}`).join("\n");
  assert.match(await problemsOf({ "a.proto": `syntax = "proto3";\n${fields}` }), /10.?000/);
});

Deno.test("one file alone compiles, whatever else is in its folder", async () => {
  await using folder = await folderWith({
    "dir/a.proto": `syntax = "proto3"; package a; message M {}`,
    "dir/b.proto": `syntax = "proto3"; package a; message M {}`,
  });
  const built = await buildSchema(diskIo(folder.path), "dir/a.proto");
  assert.deepEqual([built.files, messagesOf(built)], [["a.proto"], ["a.M"]]);
  const both = buildSchema(diskIo(folder.path), "dir");
  await assert.rejects(() => both, SchemaBuildError);
});

const ON_PATH = { command: "buf", args: [] };

Deno.test("a checkout uses buf from its own packages", () => {
  const { command, args } = bufCommand();
  assert.match(command, /deno/);
  assert.equal(args.at(-1), "@bufbuild/buf");
  assert.ok(args.includes("--config"));
});

Deno.test("a compiled arq uses the one on the PATH", () => {
  assert.deepEqual(bufCommand(import.meta.url, true), ON_PATH);
});

Deno.test("npm's package uses npm's buf if that is installed, else the one on the PATH", () => {
  const url = "file:///project/node_modules/arqon/arq/buf_command.js";
  assert.deepEqual(bufCommand(url, false, () => undefined), ON_PATH);
  const program = "/project/node_modules/@bufbuild/buf/bin/buf";
  const { command, args } = bufCommand(url, false, (from) => from === url ? program : undefined);
  assert.match(command, /deno/);
  assert.equal(args.at(-1), program);
  assert.ok(!args.includes("--config"));
});
