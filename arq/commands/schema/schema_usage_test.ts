/** `arq schema` as its own process without a bus. `schema_test.ts` has the bus. */
import assert from "node:assert/strict";
import { folderWith } from "../../testing/disk_io.ts";
import { fails, runArq, succeeds } from "../../testing/run_arq.ts";

const NOWHERE = ["--admin-url", "http://127.0.0.1:1", "--token", "a.b.c"];

Deno.test("a set of more than 1 MiB is not even sent", async () => {
  const file = await Deno.makeTempFile();
  await Deno.writeFile(file, new Uint8Array(1_048_577));
  const pushed = await runArq(["schema", "push", file, "--id", "a", ...NOWHERE]);
  fails(pushed, /1048577 bytes; a gzipped set has at most 1 MiB/);
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
  const [{ file, line }] = printed.problems;
  assert.deepEqual([printed.built, file, line], [false, "bad/a.proto", 1]);
  await assert.rejects(() => Deno.stat(`${folder.path}/all.gz`), Deno.errors.NotFound);
  fails(
    await runArq(["schema", "build", "bad"], at),
    /^arq: bad does not compile\nbad\/a\.proto:1:\d+:/,
  );
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
