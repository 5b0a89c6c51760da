/** `arq plan` and `arq apply` compare with what will be in force: an active rollout is part of the state. */
import assert from "node:assert/strict";
import { startLocalBus, type TestBus } from "../../../tests/harness/local_bus.ts";
import { PATIENT_POLICIES } from "../../../tests/harness/patient_policies.ts";
import { asker } from "../../../tests/rollout_traffic.ts";
import { Admin } from "../../bus/admin.ts";
import { EXIT } from "../../terminal/exit.ts";
import { diskIo, folderWith } from "../../testing/disk_io.ts";
import { LEAVES, localArq } from "../../testing/local_arq.ts";
import { watchRollout } from "./rollout.ts";

const BUILD = new URL("../../../policies/build/", import.meta.url).pathname;
const MODULES = { a: "content_size", b: "bad_words", c: "json_masking" };
const MIRROR = '[[mirror]]\nprefix = "in.t.default.*"\npercent = 0.5\n';

/** Folders with three modules for one policy; `a` is in force, and `b` is being rolled out. */
async function rollingOut(bus: TestBus, more: Readonly<Record<string, string>> = {}) {
  const texts = Object.entries(MODULES).map(([name, module]) => [
    `${name}/policies.toml`,
    `tenant = "default"\n[[policies]]\nname = "rule"\nmodule = "${module}.wasm"\n`,
  ]);
  const files = await folderWith({ ...Object.fromEntries(texts), ...more });
  for (const [name, module] of Object.entries(MODULES)) {
    await Deno.copyFile(`${BUILD}${module}.wasm`, `${files.path}/${name}/${module}.wasm`);
  }
  const arq = await localArq(bus, files.path);
  await arq(0, "apply", "a");
  const leaving = await localArq(bus, files.path, LEAVES);
  const begin = () => leaving(130, "apply", "b", "--canary", "1%");
  await begin();
  const ask = asker(bus.admin_url, await bus.tokenFor({ role: "admin" }));
  const stateOf = async () => (await ask("GET", "rollouts/default")).body.rollout.state;
  return { arq, begin, stateOf, path: files.path, end: () => files[Symbol.asyncDispose]() };
}

Deno.test("the previous state is a change during a rollout: apply rolls it back", async () => {
  await using bus = await startLocalBus(PATIENT_POLICIES);
  const { arq, begin, stateOf, path, end } = await rollingOut(bus);
  const planned = await arq(2, "plan", "a", "--out", `${path}/plan.bin`);
  assert.match(planned, /^tenant default: rollout [0-9a-f]{32} by root will be rolled back: /);
  assert.doesNotMatch(planned, /nothing to do/);
  const applied = await arq(0, "apply", "a");
  assert.match(applied, /rollout [0-9a-f]{32} by root is rolled back\n/);
  assert.equal(await stateOf(), "returned");
  assert.match(await arq(0, "apply", "a"), /^tenant default: nothing to do\n/);
  // A plan rolls back only the rollout that it was made on.
  await begin();
  assert.match(await arq(1, "apply", "plan.bin"), /stale, nothing was changed/);
  assert.equal(await stateOf(), "running");
  await arq(2, "plan", "a", "--out", `${path}/plan.bin`);
  const { parts, ...view } = JSON.parse(await arq(0, "apply", "plan.bin", "--json"));
  assert.deepEqual([parts, view.apply, view.changes], [undefined, null, []]);
  assert.match(view.taken_back, /^[0-9a-f]{32}$/);
  assert.equal(await stateOf(), "returned");
  await end();
});

Deno.test("who watches a rollout is shown its end, and orders no other one", async () => {
  await using bus = await startLocalBus(PATIENT_POLICIES);
  const { arq, begin, stateOf, path, end } = await rollingOut(bus);
  const { rollout: { id } } = JSON.parse(await arq(0, "rollout", "show", "--json"));
  await arq(0, "rollout", "abort");
  await begin();
  const token = await bus.tokenFor({ role: "admin", user: "root" });
  const watching = diskIo(path);
  const at = new Admin(watching, bus.admin_url, token);
  const rollout = { tenant: "default", id };
  assert.equal(await watchRollout(at, rollout, {}), EXIT.failure);
  assert.match(watching.stdout.text(), /^rolled back: .*\n {2}aborted by root\n$/);
  const order = asker(bus.admin_url, token)("POST", `rollouts/default/abort?rollout=${id}`);
  const { status, body } = await order;
  assert.deepEqual([status, body.reason], [409, "settings-conflict"]);
  assert.equal(await stateOf(), "running");
  await end();
});

Deno.test("a rollout's new state, or a third one, is refused during the rollout", async () => {
  await using bus = await startLocalBus(PATIENT_POLICIES);
  const { arq, stateOf, end } = await rollingOut(bus);
  assert.match(
    await arq(2, "plan", "b"),
    /\n {2}~ policies rule .*\ntenant default: rollout \w{32} by root puts/,
  );
  assert.match(await arq(1, "apply", "b"), /rollout [0-9a-f]{32} by .* nothing was changed/);
  assert.match(await arq(2, "plan", "c"), /arq apply is refused until it has ended/);
  assert.match(await arq(1, "apply", "c"), /rollout [0-9a-f]{32} by .* nothing was changed/);
  assert.equal(await stateOf(), "running");
  await end();
});

Deno.test("a folder without the kinds of a rollout has nothing to do with it", async () => {
  await using bus = await startLocalBus(PATIENT_POLICIES);
  const { arq, stateOf, end } = await rollingOut(bus, {
    "mirror/a.toml": `tenant = "default"\nmirror = []\n`,
    "b/mirror.toml": MIRROR,
    "more/a.toml": `tenant = "default"\nrooms = []\n`,
  });
  assert.match(await arq(0, "apply", "more"), /^tenant default: nothing to do\n/);
  assert.equal(await stateOf(), "running");
  // The rollout adds a rule, so it must not continue when the folder has none.
  assert.match(await arq(2, "plan", "mirror"), /will be rolled back/);
  await arq(0, "apply", "mirror");
  assert.equal(await stateOf(), "returned");
  await end();
});

Deno.test("a folder of the bus rolls back a tenant's rollout, too", async () => {
  await using bus = await startLocalBus(
    `[admin]\noperator_tenants = ["default"]\n${PATIENT_POLICIES}`,
  );
  const { arq, stateOf, path, end } = await rollingOut(bus, { "bus.toml": "schemas = []\n" });
  for (const name of ["b", "c"]) await Deno.remove(`${path}/${name}`, { recursive: true });
  assert.match(
    await arq(2, "plan", "."),
    /tenant default: rollout \w{32} by root will be rolled back/,
  );
  const { parts } = JSON.parse(await arq(0, "apply", ".", "--json"));
  assert.deepEqual(parts.map(({ outcome }: { outcome: string }) => outcome), [
    "unchanged",
    "applied",
  ]);
  assert.equal(await stateOf(), "returned");
  await end();
});

const proto = (type: string) =>
  `syntax = "proto3"; package fleet.v1; message Vehicle { string id = 1; ${type} more = 2; }`;
const FLEET = '[[schemas]]\nid = "fleet"\nset = "p"\n';

Deno.test("a schema that a rollout brings is its tenant's to take back, and in the way of all others", async () => {
  await using bus = await startLocalBus(
    `[admin]\noperator_tenants = ["default"]\n${PATIENT_POLICIES}`,
  );
  const { arq, stateOf, end } = await rollingOut(bus, {
    "b/s.toml": FLEET,
    "b/p/a.proto": proto("repeated string"),
    "own/a.toml": `tenant = "default"\n${FLEET}`,
    "own/p/a.proto": proto("repeated string"),
    "other/a.toml": `tenant = "acme"\n${FLEET}`,
    "other/p/a.proto": proto("repeated string"),
    "rooms/a.toml": 'tenant = "acme"\nrooms = []\n',
  });
  const planned = await arq(2, "plan", "other");
  assert.match(
    planned,
    /\n {2}\+ schemas fleet .*\ntenant default: rollout \w{32} by root is active/,
  );
  assert.match(
    await arq(1, "apply", "other"),
    /rollout \w{32} by root of tenant default is under way/,
  );
  assert.match(await arq(0, "apply", "rooms"), /^tenant acme: nothing to do\n/);
  assert.match(await arq(1, "apply", "own"), /rollout \w{32} .* is under way, nothing was changed/);
  assert.equal(await stateOf(), "running");
  await end();
});
