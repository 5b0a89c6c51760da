/** Folders of the whole bus: exported, planned and applied as one, and strict. */
import assert from "node:assert/strict";
import { startBusWith } from "../../../tests/harness/bus.ts";
import { filesOf } from "../../testing/folder_files.ts";
import { diskIo, folderWith } from "../../testing/disk_io.ts";
import { runArq } from "../../testing/run_arq.ts";
import { CommandError } from "../../terminal/exit.ts";
import { readBusFolder } from "./bus_folder.ts";

const OPERATORS = '[admin]\noperator_tenants = ["default"]\n';
const PROTO = `syntax = "proto3"; package fleet.v1; message Vehicle { string id = 1; }`;
const BUS = '[[schemas]]\nid = "fleet"\nset = "proto"\n';
const mapped = (message: string) =>
  `[[mappings]]\nsubject = "in.t.acme.r.cars-*"\nschema_id = "fleet"\nmessage = "${message}"\n`;
const mirrored = (tenant: string, percent: number) =>
  `tenant = "${tenant}"\n[[mirror]]\nprefix = "in.t.${tenant}.*"\npercent = ${percent}\n`;

const outcomesOf = ({ parts }: { parts: { outcome: string }[] }) =>
  parts.map(({ outcome }) => outcome);

/** Of three tenants the one in the middle is refused: what became of each is told. */
async function refusedInBetween(
  arq: (code: number, ...args: string[]) => Promise<string>,
  state: string,
): Promise<void> {
  const told = await arq(1, "apply", state);
  assert.match(
    told,
    /\napplied as [0-9a-f]{32}\ntenant globex: refused, nothing of it was changed\ntenant zoo: not tried\n/,
  );
  assert.match(told, /tenant globex: .*fleet\.v1\.Boat.*; applied before it: tenant acme\n/);
  const [json = ""] = (await arq(1, "apply", state, "--json")).split("\n");
  const again = JSON.parse(json);
  assert.deepEqual(outcomesOf(again), ["unchanged", "unchanged", "refused", "not-tried"]);
  const left = await arq(2, "plan", state);
  assert.match(left, /\ntenant acme: nothing to do\ntenant globex: 1 to add, 1 to change/);
}

Deno.test("a folder of the bus: its schemas and each tenant are planned, applied and exported as they are", async () => {
  await using bus = await startBusWith(OPERATORS);
  await using folder = await folderWith({
    "state/bus.toml": BUS,
    "state/proto/a.proto": PROTO,
    "state/one/a.toml": mirrored("acme", 0.5) + mapped("fleet.v1.Vehicle"),
    "state/two/a.toml": mirrored("globex", 0.25),
    "state/zoo/a.toml": mirrored("zoo", 0.25),
  });
  const arq = async (code: number, ...args: string[]) => {
    const result = await runArq([...args, "--url", bus.url]);
    assert.equal(result.code, code, `${args.join(" ")}: ${result.stdout}${result.stderr}`);
    return result.stdout + result.stderr;
  };
  const [state, out, again] = ["state", "out", "again"].map((name) => `${folder.path}/${name}`);
  await arq(0, "mirror", "set", "in.t.third.*", "10%", "--tenant", "third");
  const planned = await arq(2, "plan", state!);
  assert.match(planned, /^the bus: 1 to add, .*\n {2}\+ schemas fleet .*\nschema fleet is compat/);
  assert.match(
    planned,
    /\ntenant acme: 2 to add.*\n(.*\n)+tenant globex: 1 to add(.*\n)+tenant zoo: 1 to add/,
  );
  assert.match(planned, /\nnote: without a folder, and left as they are: third\n$/);
  const applied = await arq(0, "apply", state!);
  assert.match(applied, /^the bus: 1 to add.*\n.*\napplied as \w{32}\ntenant acme: 2 to add/);
  assert.equal(applied.match(/applied as [0-9a-f]{32}\n/g)?.length, 4);
  const view = JSON.parse(await arq(0, "plan", state!, "--json"));
  assert.deepEqual([view.bus.changes, view.others, view.tenants.length], [[], ["third"], 3]);
  assert.match(
    await arq(0, "export", out!, "--bus"),
    /the state of the bus: schemas 1, tenants 4\n$/,
  );
  assert.match(await arq(0, "plan", out!), /^the bus: nothing to do\ntenant acme: nothing to do\n/);
  await arq(0, "apply", out!);
  await arq(0, "export", again!, "--bus");
  assert.deepEqual(await filesOf(again!), await filesOf(out!));
  assert.match(await arq(1, "export", out!, "--bus"), /has \.toml files already/);
  // One tenant's folder of it is a folder as any other.
  assert.match(await arq(0, "plan", `${out}/acme`), /^tenant acme: nothing to do\n/);
  assert.match(await arq(2, "apply", out!, "--canary", "1%"), /a rollout is of one tenant/);

  await Deno.writeTextFile(`${state}/one/a.toml`, mirrored("acme", 0.75));
  const wrong = mirrored("globex", 1) + mapped("fleet.v1.Boat").replace("acme", "globex");
  await Deno.writeTextFile(`${state}/two/a.toml`, wrong);
  await Deno.writeTextFile(`${state}/zoo/a.toml`, mirrored("zoo", 1));
  await refusedInBetween(arq, state!);
  await Deno.writeTextFile(`${state}/two/a.toml`, mirrored("globex", 1));
  const finished = JSON.parse(await arq(0, "apply", state!, "--json"));
  assert.deepEqual(outcomesOf(finished), ["unchanged", "unchanged", "applied", "applied"]);
  assert.match(await arq(0, "plan", state!), /\ntenant globex: nothing to do\n/);
  // A tenant's own admin has no folder of the bus.
  const token = await bus.tokenFor({ role: "admin", tenant: "acme" });
  const own = await runArq(["plan", state!, "--admin-url", bus.admin_url, "--token", token]);
  assert.equal(own.code, 3, own.stderr);
  // Nor does its step put schemas in force, which are everybody's.
  const url = `${bus.admin_url}/v1/tenants/acme/state`;
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const { basis } = await (await fetch(url, { headers })).json();
  const schemas = [{ schema_id: "fleet", version: 2, sha256: "0".repeat(64) }];
  const body = JSON.stringify({ basis, schemas });
  const refused = await fetch(url, { method: "PUT", headers, body });
  assert.deepEqual([refused.status, (await refused.json()).reason], [403, "role-forbidden"]);
});

Deno.test("a folder of the bus is strict: what stands in the wrong folder is told with its place", async () => {
  const problems = async (files: Readonly<Record<string, string>>) => {
    await using folder = await folderWith(files);
    const error = await readBusFolder(diskIo(folder.path), ".").then(() => undefined, (e) => e);
    assert.ok(error instanceof CommandError, "it is refused");
    return [error.message, ...error.more];
  };
  const lines = await problems({
    "bus.toml": 'schemas = []\ntenant = "acme"\n',
    "more.toml": "",
    "a/a.toml": `${mirrored("acme", 1)}[[schemas]]\nid = "x"\nset = "p"\n`,
    "b/a.toml": mirrored("globex", 1),
    "c/a.toml": mirrored("globex", 1),
    "p/a.proto": PROTO,
  });
  assert.match(lines.join("\n"), /^\.\/more\.toml: expected in a tenant's folder/);
  assert.match(lines.join("\n"), /\.\/bus\.toml:2:10 tenant: expected in a tenant's folder beside/);
  assert.match(lines.join("\n"), /\.\/a\/a\.toml:\d+:\d+ schemas: expected in bus\.toml/);
  assert.match(lines.join("\n"), /\.\/c: \.\/b is of tenant globex, too/);
});
