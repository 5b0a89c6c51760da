/** `arq export`, `plan` and `apply` against a real bus, and invalid folders. */
import assert from "node:assert/strict";
import { startBusWith, type TestBus } from "../../../tests/harness/bus.ts";
import { PATIENT_POLICIES } from "../../../tests/harness/patient_policies.ts";
import { diskIo, edit, filesOf, folderWith } from "../../testing/disk_io.ts";
import { CommandError } from "../../terminal/exit.ts";
import { arqOn as arq, runArq } from "../../testing/run_arq.ts";
import { symbolicLink } from "../../../shared/testing/symbolic_link.ts";
import { readFolder } from "./read_folder.ts";

const ROOT = new URL("../../../", import.meta.url).pathname;
const BAD_WORDS = `${ROOT}policies/build/bad_words.wasm`;
const VEHICLE = `syntax = "proto3"; package fleet.v1; message Vehicle { string id = 1; }`;

/** A tenant that has something of each kind, set by hand. */
async function furnish(bus: TestBus, proto: string): Promise<void> {
  await arq(bus, 0, "policy", "deploy", BAD_WORDS, "--name", "words", "--order", "5");
  await arq(
    bus,
    0,
    "policy",
    "deploy",
    BAD_WORDS,
    "--name",
    "a~words",
    "--percent",
    "25%",
    "--observe",
  );
  await arq(bus, 0, "schema", "push", proto, "--id", "fleet");
  await arq(bus, 0, "schema", "map", "cars-*", "fleet", "--message", "fleet.v1.Vehicle");
  await arq(bus, 0, "room", "class", "set", "kept-*", "--durable", "--history-size", "7");
  await arq(bus, 0, "mirror", "set", "in.t.default.*", "0.01%");
}

/** Changes of each kind are planned, applied once, and exported unchanged. */
async function changed(bus: TestBus, folder: string): Promise<void> {
  await edit(`${folder}/policies.toml`, "order = 5", "order = 6");
  await edit(`${folder}/rooms.toml`, "history_size = 7", "history_size = 9");
  await edit(`${folder}/mirror.toml`, "0.0001 # 0.01 %", "0.5 # 50 %");
  const planned = await arq(bus, 2, "plan", folder, "--out", `${folder}/plan.bin`);
  assert.match(planned, /0 to add, 3 to change, 0 to remove; no connection is touched\n/);
  assert.match(planned, /\n {2}~ policies words {2}order: 5 → 6\n/);
  assert.match(planned, /\n {2}~ rooms kept-\* {2}history_size: 7 → 9\n/);
  assert.match(planned, /\n {2}~ mirror \S+ {2}percent: 0\.0001 \(0\.01 %\) → 0\.5 \(50 %\)\n/);
  assert.match(await arq(bus, 0, "apply", `${folder}/plan.bin`), /\napplied as [0-9a-f]{32}\n$/);
  await Deno.copyFile(`${folder}/plan.bin`, `${folder}/again.bin`);
  assert.match(await arq(bus, 0, "apply", `${folder}/again.bin`), /nothing to do\n$/);
  assert.match(await arq(bus, 0, "plan", folder), /^tenant default: nothing to do\n$/);
}

/** A manual change makes a plan stale and is reported as drift. */
async function drifted(bus: TestBus, folder: string): Promise<void> {
  await edit(`${folder}/mirror.toml`, "0.5 # 50 %", "0.25 # 25 %");
  await arq(bus, 2, "plan", folder, "--out", `${folder}/plan.bin`);
  await arq(bus, 0, "room", "class", "remove", "kept-*");
  assert.match(await arq(bus, 1, "apply", `${folder}/plan.bin`), /stale, nothing was changed/);
  const { rules } = JSON.parse(
    await arq(bus, 0, "mirror", "list", "--tenant", "default", "--json"),
  );
  assert.equal(rules[0].percent, 0.5, "nothing of it is in force");
  const planned = await arq(bus, 2, "plan", folder);
  assert.match(planned, /\n {2}\+ rooms kept-\* /);
  assert.match(planned, /\nchanged by hand since apply [0-9a-f]{32} by .*:\n {2}mappings, rooms/);
  await arq(bus, 0, "apply", folder);
  assert.equal(JSON.parse(await arq(bus, 0, "plan", folder, "--json")).drift, null);
}

Deno.test("an export is planned, applied, and exported again byte for byte", async () => {
  await using bus = await startBusWith(PATIENT_POLICIES);
  await using sources = await folderWith({ "proto/a.proto": VEHICLE });
  await furnish(bus, `${sources.path}/proto`);
  const one = `${sources.path}/one`;
  const two = `${sources.path}/two`;
  assert.match(
    await arq(bus, 0, "export", one),
    /policies 2, schemas 1, mappings 1, rooms 1, mirror 1, quotas 0, budgets 0, require_signature 0, hooks 0, schedules 0, reducers 0\n$/,
  );
  assert.match(await arq(bus, 0, "plan", one), /nothing to do\n/);
  await changed(bus, one);
  await drifted(bus, one);
  for (const name of ["plan.bin", "again.bin"]) await Deno.remove(`${one}/${name}`);
  await arq(bus, 0, "export", two);
  assert.deepEqual(await filesOf(two), await filesOf(one));
  assert.match(await arq(bus, 1, "export", two), /has \.toml files already/);

  await using other = await startBusWith(PATIENT_POLICIES);
  assert.match(await arq(other, 2, "plan", one), /^tenant default: 6 to add, 0 to change/);
  await arq(other, 0, "apply", one);
  await arq(other, 0, "export", two, "--force");
  assert.deepEqual(await filesOf(two), await filesOf(one), "on another bus, too");
});

Deno.test("a schema that breaks readers is an error of the plan, and nothing is applied", async () => {
  await using bus = await startBusWith(PATIENT_POLICIES);
  const broken = VEHICLE.replace("string id = 1", "int32 id = 1");
  await using folder = await folderWith({
    "old/a.proto": VEHICLE,
    "new/a.proto": broken,
    "tenant.toml": `tenant = "default"\n[[mirror]]\nprefix = "in.t.default.*"\npercent = 1\n`,
    "schemas.toml": `[[schemas]]\nid = "fleet"\nset = "new"\n`,
  });
  await arq(bus, 0, "schema", "push", `${folder.path}/old`, "--id", "fleet");
  assert.match(await arq(bus, 1, "plan", folder.path), /schema fleet is NOT compatible\n/);
  assert.match(await arq(bus, 1, "apply", folder.path), /nothing was changed/);
  assert.match(await arq(bus, 0, "mirror", "list"), /no mirror rules/);
  const taken = await folderWith({
    "a.toml": `tenant = "default"\n[[schemas]]\nid = "ship"\nset = "p"\n[[mappings]]\n` +
      `subject = "in.t.default.r.x"\nschema_id = "ship"\nmessage = "fleet.v1.Boat"\n`,
    "p/a.proto": VEHICLE,
  });
  assert.match(await arq(bus, 1, "apply", taken.path), /fleet\.v1\.Boat/);
  const listed = await arq(bus, 0, "schema", "list", "--json");
  assert.ok(!listed.includes('"ship"'), "it never was in force");
  const file = `${taken.path}/a.toml`;
  const text = await Deno.readTextFile(file);
  await Deno.writeTextFile(file, text.replace("fleet.v1.Boat", "fleet.v1.Vehicle"));
  const [, apply] = (await arq(bus, 0, "apply", taken.path)).match(/applied as (\w{32})\n/) ?? [];
  const { schemas } = JSON.parse(await arq(bus, 0, "schema", "list", "--json"));
  const ship = schemas.find((one: { schema_id: string }) => one.schema_id === "ship");
  assert.deepEqual([ship.latest.version, ship.latest.apply], [1, apply]);
  assert.match(await arq(bus, 0, "plan", taken.path), /nothing to do\n/);
  await taken[Symbol.asyncDispose]();
});

async function problemsOf(files: Record<string, string>): Promise<string[]> {
  await using folder = await folderWith(files);
  const io = diskIo(folder.path);
  const error = await readFolder(io, ".").then(() => undefined, (error) => error);
  assert.ok(error instanceof CommandError, "it is refused");
  return [error.message, ...error.more];
}

Deno.test("every error of a folder is reported, with its place and a valid value", async () => {
  assert.deepEqual(
    await problemsOf({
      "a.toml":
        'tenat = "acme"\n\n[[rooms]]\nroom = "a-*"\nhistroy_size = 3\nslow_reader = "latset"\n',
      "b.toml": '[[mirror]]\nprefix = "in.t.acme.*"\npercent = "x"\n',
    }),
    [
      './a.toml:1:1 tenat: unknown key; did you mean "tenant"?',
      './a.toml:5:1 rooms[0].histroy_size: unknown key; did you mean "history_size"?',
      './a.toml:6:15 rooms[0].slow_reader: "latset" is not allowed; expected one of "disconnect", "drop-oldest", "latest" (did you mean "latest"?)',
      './b.toml:3:11 mirror[0].percent: "x" is a string; expected a number from 0 to 1',
    ],
  );
  const [twice, foreign, missing] = await problemsOf({
    "a.toml": 'tenant = "acme"\n[[rooms]]\nroom = "a"\n',
    "b.toml": '[[rooms]]\nroom = "b"\n[[mirror]]\nprefix = "in.t.globex.*"\npercent = 1\n' +
      '[[policies]]\nname = "p"\nmodule = "none.wasm"\n',
  });
  assert.match(twice ?? "", /^\.\/b\.toml:1:3 rooms: \.\/a\.toml has it, too; expected one file/);
  assert.match(
    foreign ?? "",
    /^\.\/b\.toml:4:10 mirror\[0\]\.prefix: "in\.t\.globex\.\*"; expected/,
  );
  assert.match(missing ?? "", /^\.\/b\.toml:8:10 policies\[0\]\.module: cannot read /);
  const [outside] = await problemsOf({
    "a.toml": 'tenant = "acme"\n[[policies]]\nname = "p"\nmodule = "../x.wasm"\n',
  });
  assert.match(outside ?? "", /:4:10 policies\[0\]\.module: .*inside of the folder/);
  await using target = await folderWith({ "x.wasm": "" });
  await using linking = await folderWith({
    "a.toml": 'tenant = "acme"\n[[policies]]\nname = "p"\nmodule = "out.wasm"\n' +
      '[[policies]]\nname = "q"\nmodule = "in.wasm"\n[[schemas]]\nid = "s"\nset = "sets/x.wasm"\n',
    "own/x.wasm": "none",
  });
  await symbolicLink(`${target.path}/x.wasm`, `${linking.path}/out.wasm`);
  await symbolicLink(target.path, `${linking.path}/sets`);
  await symbolicLink("own/x.wasm", `${linking.path}/in.wasm`);
  const refused = await readFolder(diskIo(linking.path), ".").then(
    () => undefined,
    (error) => error,
  );
  assert.ok(refused instanceof CommandError);
  const problems = [refused.message, ...refused.more].join("\n");
  assert.match(problems, /:4:10 policies\[0\]\.module: a link leads to \S+x\.wasm; expected/);
  assert.match(problems, /:10:7 schemas\[0\]\.set: a link leads to \S+x\.wasm; expected/);
  assert.match(problems, /:7:10 policies\[1\]\.module: (?!a link)/, "it is read, and no module");
  assert.match((await problemsOf({ "x.txt": "" }))[0] ?? "", /has no \.toml files/);
  await assert.rejects(readFolder(diskIo("/"), "none-here"), /none-here: no such file or folder/);
  assert.match((await problemsOf({ "x.toml": "rooms = []" }))[0] ?? "", /tenant: missing/);
});

Deno.test("two policies with the same order are reported, and a source is compiled", async () => {
  const policy = (name: string) =>
    `[[policies]]\nname = "${name}"\nsource = "src/p.ts"\norder = 3\n`;
  await using folder = await folderWith({
    "a.toml": `tenant = "acme"\n${policy("b")}${policy("a")}`,
    "src/p.ts": await Deno.readTextFile(`${ROOT}policies/examples/bad_words.ts`),
  });
  const { state, modules, warnings } = await readFolder(diskIo(folder.path), ".");
  assert.equal(modules.size, 1);
  assert.deepEqual(state.policies?.map(({ hooks }) => hooks), [["on_message"], ["on_message"]]);
  assert.deepEqual(warnings, ["policies a, b have order 3: they run in the order of their names"]);
});

Deno.test("a pipe or a folder instead of a file is reported without waiting for it", async () => {
  await using folder = await folderWith({ "tenant.toml": 'tenant = "default"\n' });
  const pipe = `${folder.path}/rooms.toml`;
  assert.ok((await new Deno.Command("mkfifo", { args: [pipe] }).output()).success);
  const refusal = /\.\/rooms\.toml is a folder, a pipe or a device; expected a file with TOML/;
  await assert.rejects(readFolder(diskIo(folder.path), "."), refusal);
  await Deno.remove(pipe);
  await Deno.mkdir(pipe);
  await assert.rejects(readFolder(diskIo(folder.path), "."), refusal);
});

Deno.test("a wrong command line of plan is no plan with changes", async () => {
  assert.equal((await runArq(["plan", "--nonsense"])).code, 1);
  assert.equal((await runArq(["apply", "--nonsense"])).code, 2);
});
