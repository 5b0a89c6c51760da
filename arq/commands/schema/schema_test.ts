/**
 * `arq schema` against a real bus, as an operator uses it: from the first build to a refused version and a refused
 * event, a rollback, a deletion. Also without a bus.
 */
import assert from "node:assert/strict";
import { sharedByTests } from "../../../shared/testing/shared_by_tests.ts";
import { ping } from "../../../shield/schema/testing/schemas.ts";
import { startBus, type TestBus } from "../../../tests/harness/bus.ts";
import { AdminClient } from "../../../tests/peers/admin_client.ts";
import { folderWith } from "../../testing/disk_io.ts";
import { fails, runArq, succeeds } from "../../testing/run_arq.ts";

const HEAD = `syntax = "proto3";
package fleet.v1;
import "buf/validate/validate.proto";
import "fleet/v1/kind.proto";
`;

const V1 = `${HEAD}message Vehicle {
  string id = 1 [(buf.validate.field).string.min_len = 1];
  double speed = 2;
  Kind kind = 3;
}
`;

const V2 = V1.replace("  Kind kind = 3;\n", "  Kind kind = 3;\n  string driver = 4;\n");
const BAD = V2.replace("double speed = 2;", "string speed = 2;");
const KIND = `syntax = "proto3";\npackage fleet.v1;\nenum Kind { KIND_BUS = 0; KIND_TRAM = 1; }\n`;

const FILES = Object.fromEntries(
  Object.entries({ v1: V1, v2: V2, bad: BAD }).flatMap(([folder, text]) => [
    [`${folder}/fleet/v1/vehicle.proto`, text],
    [`${folder}/fleet/v1/kind.proto`, KIND],
  ]),
);

/** Each test has its own schemas; the first finds none. */
const running = sharedByTests(() => startBus());

interface Place {
  readonly bus: TestBus;
  readonly folder: string;
}

async function arq({ bus, folder }: Place, ...args: string[]) {
  return await runArq([...args, "--url", bus.url], { cwd: folder });
}

async function schema(place: Place, ...args: string[]): Promise<string> {
  return succeeds(await arq(place, "schema", ...args));
}

async function refused(place: Place, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await arq(place, "schema", ...args);
  assert.equal(code, 1, `${args.join(" ")}: ${stdout}`);
  return stdout + stderr;
}

async function register(place: Place): Promise<void> {
  assert.equal(await schema(place, "list"), "no schema is registered\n");
  const none = await schema(place, "check", "v1", "--id", "fleet");
  assert.equal(none, "fleet has no version yet: v1 would be the first\n");
  succeeds(await runArq(["schema", "build", "v1", "-o", "v1.binpb.gz"], { cwd: place.folder }));
  const first = await schema(place, "push", "v1.binpb.gz", "--id", "fleet");
  assert.equal(first, "fleet: version 1 is registered (BACKWARD)\n");
  const again = await schema(place, "push", "v1", "--id", "fleet");
  assert.match(again, /^fleet: version 1 has these bytes already; nothing was registered/);
  const second = await schema(place, "push", "v2", "--id", "fleet", "--compat", "full_transitive");
  const how = "(FULL_TRANSITIVE, compared with version 1)";
  assert.equal(second, `fleet: version 2 is registered ${how}\n`);
  const listed = await schema(place, "list");
  assert.match(listed, /^SCHEMA .*\nfleet +2 +2 +FULL_TRANSITIVE +\d+ +\d{4}-.*Z +not mapped\n$/);
  const history = await schema(place, "history", "fleet");
  const lines = /^fleet, FULL_TRANSITIVE, 2 versions, .*\nVERSION.*\n2 .* dev .*\n1 .* dev /;
  assert.match(history, lines);
}

async function incompatible(place: Place): Promise<void> {
  const diff =
    /^bad is not compatible with fleet versions 2, 1 \(FULL_TRANSITIVE\): \d+ errors?.*\n/;
  const finding =
    /\nfleet\/v1\/vehicle\.proto\n {2}fleet\.v1\.Vehicle\.speed\n {4}error field-type-changed: .*double.*string.* \(version \d → candidate\)\n/;
  for (const args of [["push", "bad", "--id"], ["check", "bad", "--id"]]) {
    const text = await refused(place, ...args, "fleet");
    assert.match(text, diff);
    assert.match(text, finding);
    assert.ok(!text.includes("\u001b"), "no colors in a pipe");
  }
  const json = JSON.parse(await refused(place, "push", "bad", "--id", "fleet", "--json"));
  assert.equal(json.reason, "schema-incompatible");
  assert.equal(json.findings[0].rule, "field-type-changed");
  assert.match(await schema(place, "history", "fleet"), /2 versions/, "nothing was registered");
  const check = await schema(place, "check", "bad", "--id", "fleet", "--compat", "none");
  assert.match(check, /^bad is compatible with fleet, compared with nothing \(NONE\)\n$/);
  const mode = await schema(place, "push", "--id", "fleet", "--compat", "BACKWARD");
  assert.equal(mode, "fleet: the compatibility of new versions is BACKWARD from now on\n");
  await Deno.writeTextFile(`${place.folder}/no.gz`, "no set");
  assert.match(await refused(place, "push", "no.gz", "--id", "fleet"), /400 invalid-schema/);
  assert.match(await refused(place, "history", "nope"), /404 schema-unknown/);
}

async function getBack(place: Place): Promise<void> {
  const { folder } = place;
  await schema(place, "get", "fleet", "--version", "1", "-o", "back.gz");
  const back = await Deno.readFile(`${folder}/back.gz`);
  assert.deepEqual(back, await Deno.readFile(`${folder}/v1.binpb.gz`));
  const { bytes } = await arq(place, "schema", "get", "fleet", "--version", "1");
  assert.deepEqual(bytes, back, "stdout is exactly the bytes");
  const text = await schema(place, "get", "fleet", "--proto");
  assert.match(text, /^\/\/ fleet\/v1\/kind\.proto\n/);
  assert.match(text, /\n {2}string driver = 4;\n/);
  assert.doesNotMatch(text, /message StringRules/, "libraries are left out");
  await schema(place, "get", "fleet", "--proto", "-o", "out");
  const same = await schema(place, "check", "out", "--id", "fleet");
  assert.match(same, /^out is compatible/);
  assert.match(await refused(place, "get", "fleet", "--version", "9"), /404 schema-unknown/);
}

async function enforce(place: Place): Promise<void> {
  const message = ["--message", "fleet.v1.Vehicle"];
  const mapped = await schema(place, "map", "vehicles-*", "fleet", ...message);
  assert.match(
    mapped,
    /^in\.t\.default\.r\.vehicles-\* carries fleet\.v1\.Vehicle of fleet \(enforce\): version 1 of the settings of tenant default is in force on this node\n$/,
  );
  const publish = async (room: string, data: string) => {
    const { code, stderr } = await arq(place, "pub", room, data);
    return [code, stderr] as const;
  };
  assert.deepEqual(await publish("vehicles-1", '{"id":"v1","speed":3}'), [0, ""]);
  const [code, stderr] = await publish("vehicles-1", '{"id":"v1","speed":"fast"}');
  assert.equal(code, 1);
  assert.match(stderr, /speed.*400 schema-violation/);
  assert.match((await publish("vehicles-1", '{"id":""}'))[1], /id.*400 schema-violation/);
  assert.deepEqual(await publish("lobby", '{"id":""}'), [0, ""]);
  const mappings = await schema(place, "mappings");
  assert.match(mappings, /^SUBJECT.*\nin\.t\.default\.r\.vehicles-\* +fleet +fl/);
  assert.match(await refused(place, "map", "x", "nope", ...message), /404 schema-unknown/);
  assert.match(await refused(place, "map", "x", "fleet", "--message", "a.B"), /no message.*a\.B/);
  await schema(place, "unmap", "vehicles-*");
  assert.match(await refused(place, "unmap", "vehicles-*"), /has no mapping for in\.t\.default/);
  assert.deepEqual(await publish("vehicles-1", '{"id":""}'), [0, ""]);
  assert.equal(await schema(place, "mappings"), "tenant default has set no mappings\n");
}

async function validate(place: Place): Promise<void> {
  await Deno.writeTextFile(`${place.folder}/good.json`, '{"id":"v1","driver":"ann"}');
  await Deno.writeTextFile(`${place.folder}/cut.pb`, "\n\u0005v1");
  const args = ["--id", "fleet", "--message", "fleet.v1.Vehicle"];
  const valid = await schema(place, "validate", "good.json", ...args);
  assert.equal(valid, "good.json: valid as fleet.v1.Vehicle, version 2\n");
  const old = [...args, "--version", "1", "--unknown", "refuse"];
  assert.match(await refused(place, "validate", "good.json", ...old), /driver.*\[unknown-field\]/);
  assert.match(await refused(place, "validate", "cut.pb", ...args), /\[truncated\]/);
}

Deno.test("arq schema on a running bus", async (t) => {
  const bus = await running();
  await using folder = await folderWith(FILES);
  const place = { bus, folder: folder.path };
  await t.step("versions are built and registered, once each", () => register(place));
  await t.step("an incompatible version is refused with its findings", () => incompatible(place));
  await t.step("a version can be downloaded as bytes and as text", () => getBack(place));
  await t.step("a mapping is enforced, and the refusal names the field", () => enforce(place));
  await t.step("validate prints what the bus would answer", () => validate(place));
});

// A rollback of a schema on a real bus: the version in force, the history and the audit log.

Deno.test("a rollback is the next version, step by step, and records its author", async () => {
  const bus = await running();
  const token = await bus.tokenFor({ role: "admin", user: "root" });
  const admin = new AdminClient(bus.admin_url, token);
  const path = "/v1/schemas/cars";
  const mapping = { subject: "in.t.default.r.x*", schema_id: "cars", message: "t.Ping" };
  for (const fields of [[], ["extra"], ["extra", "more"]]) {
    const body = ping(
      ...fields.map((name, at) => [name, 50 + at, "int32"] as [string, number, string]),
    );
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/gzip" };
    const put = await fetch(`${bus.admin_url}${path}`, { method: "PUT", headers, body });
    assert.equal(put.status, 200, await put.text());
  }
  const mappings = "/v1/tenants/default/mappings";
  assert.equal((await admin.ask("PUT", mappings, mapping)).status, 200);
  const { versions: [one, two] } = await admin.read(path);
  const flags = ["--admin-url", bus.admin_url, "--token", token];
  const back = succeeds(await runArq(["schema", "rollback", "cars", ...flags]));
  assert.equal(back, "cars version 4: the content of version 2 is in force again\n");
  const { body } = await admin.ask("POST", `${path}/rollback`);
  assert.deepEqual([body.version, body.restores, body.by], [5, 1, "root"]);
  const { versions, here } = await admin.read(path);
  const last = versions.map(({ sha256 }: { sha256: string }) => sha256).slice(-2);
  assert.deepEqual(last, [two.sha256, one.sha256]);
  assert.equal(here.messages[0].version, 5);
  assert.equal((await admin.ask("POST", `${path}/rollback`)).body.reason, "schema-unknown");
  assert.equal((await admin.ask("POST", `${path}/rollback?version=9`)).status, 404);
  assert.equal((await admin.ask("POST", `${path}/rollback?version=x`)).status, 400);
  const again = await runArq(["schema", "rollback", "cars", "--to", "5", ...flags]);
  assert.match(again.stdout, /version 5 has that content already/);
  const { entries } = await admin.read("/v1/audit?action=schema.rollback&outcome=done");
  assert.deepEqual(entries.map(({ by }: { by: string }) => by), ["root", "root", "root"]);
});

// A deletion of a schema on a real bus by `arq`: the mappings that prevent it, and what later commands report.

Deno.test("arq schema delete names the mappings, then deletes; the logs record the author", async () => {
  const bus = await running();
  const token = await bus.tokenFor({ role: "admin", user: "root" });
  const admin = new AdminClient(bus.admin_url, token);
  const push = async (body: Uint8Array<ArrayBuffer>) => {
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/gzip" };
    const url = `${bus.admin_url}/v1/schemas/ships`;
    const put = await fetch(url, { method: "PUT", headers, body });
    return await put.json();
  };
  assert.equal((await push(ping())).version, 1);
  const mappings = "/v1/tenants/default/mappings";
  const mapping = { subject: "in.t.default.r.x*", schema_id: "ships", message: "t.Ping" };
  assert.equal((await admin.ask("PUT", mappings, mapping)).status, 200);
  const flags = ["--admin-url", bus.admin_url, "--token", token];
  const kept = await runArq(["schema", "delete", "ships", ...flags]);
  assert.notEqual(kept.code, 0);
  assert.match(kept.stderr, /"ships" is mapped: in\.t\.default\.r\.x\* to t\.Ping; unmap it first/);
  assert.equal((await admin.ask("DELETE", mappings)).status, 200);
  const gone = await runArq(["schema", "delete", "ships", ...flags]);
  const expected = "ships is deleted (1 version, the newest 1); the next push gets version 2\n";
  assert.equal(gone.stdout, expected, gone.stderr);
  const again = await runArq(["schema", "delete", "ships", ...flags]);
  assert.match(again.stderr, /"ships", which root deleted at version 1/);
  assert.equal((await push(ping())).version, 2);
  const history = await runArq(["schema", "history", "ships", ...flags]);
  assert.match(history.stdout, /\ndeleted at version 1 \(.+\) by root\n/);
  const { entries } = await admin.read("/v1/audit?action=schema.delete");
  type Entry = { by: string; outcome: string; status: number };
  const outcomes = entries.filter(({ outcome }: Entry) => outcome !== "begun")
    .map(({ by, outcome, status }: Entry) => `${by} ${outcome} ${status}`);
  assert.deepEqual(outcomes.sort(), ["root done 200", "root refused 404", "root refused 409"]);
});

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
