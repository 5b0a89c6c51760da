/** `arq schema` as its own process without a bus. `schema_test.ts` has the bus. */
import assert from "node:assert/strict";
import { folderWith } from "../../testing/disk_io.ts";
import { type Refusal, refuses, runArq, succeeds } from "../../testing/run_arq.ts";

const NOWHERE = ["--admin-url", "http://127.0.0.1:1", "--token", "a.b.c"];
const HERE = new URL("schema_usage_test.ts", import.meta.url).pathname;
const MESSAGE = ["--message", "a.M"];

Deno.test("invalid command lines of schema and an unreachable bus have different errors", async () => {
  const cases: Refusal[] = [
    [["build"], 2, /missing required argument 'source'/],
    [["build", "/nowhere"], 1, /\/nowhere: not a folder with \.proto files/],
    [["push", "x", ...NOWHERE], 2, /required option '--id <id>' not specified/],
    [["push", "x", "--id", "a/b"], 2, /a schema id is 1 to 128 of \[A-Za-z0-9_\.-\]/],
    [["push", "x", "--id", "a", "--compat", "SIDEWARDS"], 2, /BACKWARD, BACKWARD_TRANSITIVE/],
    [["push", "--id", "a", ...NOWHERE], 2, /give a folder or file.*--compat/],
    [["push", "/nowhere.gz", "--id", "a", ...NOWHERE], 1, /cannot read \/nowhere\.gz/],
    [["push", HERE, "--id", "a", ...NOWHERE], 4, /503 unreachable/],
    [["push", "--id", "a", "--compat", "full", ...NOWHERE], 4, /503 unreachable/],
    [["check", HERE, ...NOWHERE], 2, /required option '--id <id>'/],
    [["list", "--admin-url", "http://127.0.0.1:1"], 3, /no token for http:\/\/127\.0\.0\.1:1/],
    [["list", ...NOWHERE], 4, /503 unreachable/],
    [["history"], 2, /missing required argument 'id'/],
    [["get", "a", "--version", "0", ...NOWHERE], 2, /as arq schema history shows them/],
    [["get", "a", ...NOWHERE], 4, /503 unreachable/],
    [["map", "lobby", "a"], 2, /required option '--message <name>'/],
    [["map", "lobby", "a", "--message", "a..M"], 2, /full name of a message/],
    [["map", "lobby", "a", ...MESSAGE, "--mode", "shout"], 2, /enforce, observe, dead-letter/],
    [["map", "lobby", "a", ...MESSAGE, "--unknown", "maybe"], 2, /allow, warn, refuse/],
    [["map", "out.t.a.r.b", "a", ...MESSAGE, ...NOWHERE], 2, /neither a room nor a subject/],
    [["map", "in.t.a.*", "a", ...MESSAGE, "--tenant", "b"], 2, /belongs to tenant a, not to b/],
    [["unmap", "in.t.*.r.x", ...NOWHERE], 2, /neither a room nor a subject of one tenant/],
    [["mappings", ...NOWHERE], 4, /503 unreachable/],
    [["validate", HERE, ...MESSAGE], 2, /give either --id.*or --local/],
    [["validate", HERE, ...MESSAGE, "--id", "a", "--local", "b"], 2, /give either --id/],
    [["validate", HERE, ...MESSAGE, "--local", "b", "--version", "1"], 2, /of the bus/],
    [["validate", "/nowhere", "--id", "a", ...MESSAGE, ...NOWHERE], 1, /cannot read \/nowhere/],
    [["nonsense"], 2, /unknown command/],
  ];
  await refuses(cases, "schema");
});

Deno.test("a set of more than 1 MiB is not even sent", async () => {
  const file = await Deno.makeTempFile();
  await Deno.writeFile(file, new Uint8Array(1_048_577));
  const { code, stderr } = await runArq(["schema", "push", file, "--id", "a", ...NOWHERE]);
  assert.equal(code, 1);
  assert.match(stderr, /1048577 bytes; a gzipped set has at most 1 MiB/);
  await Deno.remove(file);
});

const GOOD = `syntax = "proto3";
package fleet.v1;
import "buf/validate/validate.proto";
message Vehicle { string id = 1 [(buf.validate.field).string.min_len = 1]; double speed = 2; }
`;

Deno.test("build writes the set, or reports the error's place and writes nothing", async () => {
  await using folder = await folderWith({ "fleet/v1/a.proto": GOOD, "bad/a.proto": "message M" });
  const at = { cwd: folder.path };
  const built = succeeds(await runArq(["schema", "build", "fleet"], at));
  assert.match(built, /^fleet\.binpb\.gz: \d+ bytes, fleet\.v1\.Vehicle\n$/);
  const json = await runArq(["schema", "build", ".", "-o", "all.gz", "--json"], at);
  assert.equal(json.code, 1);
  const printed = JSON.parse(json.stdout);
  assert.deepEqual([printed.built, printed.problems[0].file, printed.problems[0].line], [
    false,
    "bad/a.proto",
    1,
  ]);
  await assert.rejects(() => Deno.stat(`${folder.path}/all.gz`), Deno.errors.NotFound);
  const bad = await runArq(["schema", "build", "bad"], at);
  assert.equal(bad.code, 1);
  assert.match(bad.stderr, /^arq: bad does not compile\nbad\/a\.proto:1:\d+:/);
});

Deno.test("validate --local judges binary and JSON with structure and rules, without a bus", async () => {
  await using folder = await folderWith({
    "p/a.proto": GOOD,
    "good.json": '{"id":"v1","speed":1.5}',
    "empty.json": '{"id":""}',
    "more.json": '{"id":"v","colour":"red"}',
    "good.pb": "\n\u0002v1",
    "cut.pb": "\n\u0005v1",
  });
  const run = async (file: string, ...more: string[]) => {
    const args = ["schema", "validate", file, "--local", "p", "--message", "fleet.v1.Vehicle"];
    const { code, stdout, stderr } = await runArq([...args, ...more], { cwd: folder.path });
    assert.equal(stderr, "");
    return [code, stdout] as const;
  };
  assert.deepEqual(await run("good.json"), [0, "good.json: valid as fleet.v1.Vehicle\n"]);
  assert.deepEqual(await run("good.pb"), [0, "good.pb: valid as fleet.v1.Vehicle\n"]);
  const [code, text] = await run("empty.json");
  assert.equal(code, 1);
  assert.match(text, /^empty\.json: not valid as .*\n {2}id: .*\[string\.min_len\]\n$/);
  assert.match((await run("cut.pb"))[1], /\[truncated\]/);
  assert.equal((await run("more.json"))[0], 0);
  const [refused, why] = await run("more.json", "--unknown", "refuse", "--json");
  assert.equal(refused, 1);
  const { valid, violations } = JSON.parse(why);
  assert.deepEqual([valid, violations[0].rule], [false, "unknown-field"]);
});
