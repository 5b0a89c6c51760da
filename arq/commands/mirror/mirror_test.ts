/** `arq mirror` against a real bus. What needs no bus is in `mirror_usage_test.ts`. */
import assert from "node:assert/strict";
import { startBus } from "../../../tests/harness/bus.ts";
import type { TestBus } from "../../../tests/harness/bus.ts";
import { folderWith } from "../../testing/disk_io.ts";
import { runArq } from "../../testing/run_arq.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";

async function arq(bus: TestBus, ...args: string[]) {
  return await runArq([...args, "--url", bus.url]);
}

async function mirror(bus: TestBus, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await arq(bus, "mirror", ...args);
  assert.equal(code, 0, `${args.join(" ")}: ${stderr}`);
  return stdout;
}

async function rules(bus: TestBus): Promise<void> {
  assert.equal(await mirror(bus, "list"), "no mirror rules are set\n");
  assert.match(
    await mirror(bus, "set", "in.t.default.*", "0.01%"),
    /^in\.t\.default\.\* is mirrored at 0\.01 %: version 1 of the settings of tenant default is in force on this node\n$/,
  );
  await mirror(bus, "set", "vehicles-*", "10%");
  await mirror(bus, "set", "vehicles-*", "100");
  await mirror(bus, "set", "in.t.acme.r.lobby", "50%");
  const listed = await mirror(bus, "list");
  assert.match(listed, /^PREFIX +SHARE +SOURCE +TENANT\n/);
  assert.match(listed, /\nin\.t\.default\.\* +0\.01 % +tenant +default\n/);
  assert.match(listed, /\nin\.t\.default\.r\.vehicles-\* +100 % +tenant +default\n/);
  assert.match(listed, /\nin\.t\.acme\.r\.lobby +50 % +tenant +acme\n/);
  assert.equal(listed.split("\n").length, 5, "the same prefix replaces");
  const acme = JSON.parse(await mirror(bus, "list", "--tenant", "acme", "--json"));
  assert.deepEqual(acme.rules, [{ prefix: "in.t.acme.r.lobby", percent: 0.5 }]);
}

async function explain(bus: TestBus): Promise<void> {
  const text = await mirror(bus, "explain", "vehicles-7", "--key", TRACE);
  assert.match(
    text,
    /^in\.t\.default\.r\.vehicles-7: in\.t\.default\.r\.vehicles-\* of the tenant's settings has the longest prefix/,
  );
  assert.match(text, /\nshare: 100 %\nkey 4bf92f3577b34da6a3ce929d0e0e4736: mirrored\n/);
  assert.match(text, /\nalso matching, but overruled:\nPREFIX.*\nin\.t\.default\.\* +0\.01 %/);
  assert.match(await mirror(bus, "explain", "in.t.other.r.x"), /no rule matches: nothing is mirr/);
}

async function remove(bus: TestBus): Promise<void> {
  await mirror(bus, "remove", "vehicles-*");
  const again = await arq(bus, "mirror", "remove", "vehicles-*");
  assert.equal(again.code, 1);
  assert.match(again.stderr, /tenant default has no rule for in\.t\.default\.r\.vehicles-\*/);
  assert.match(await mirror(bus, "explain", "vehicles-7"), /: in\.t\.default\.\* of the tenant's/);
  const sound = await arq(bus, "mirror", "reset");
  assert.equal(sound.code, 1);
  assert.match(sound.stderr, /in order; nothing was reset.*409 settings-conflict/);
}

const VEHICLE = `syntax = "proto3"; package fleet.v1; message Vehicle { string id = 1; }`;

/** A schema that only observes would have refused what production let through. */
async function diff(bus: TestBus): Promise<void> {
  assert.equal(await mirror(bus, "diff"), "tenant default: nothing was compared on this node\n");
  await using folder = await folderWith({ "a.proto": VEHICLE });
  await mirror(bus, "set", "orders", "100%");
  for (
    const args of [
      ["push", folder.path, "--id", "next"],
      ["map", "orders", "next", "--message", "fleet.v1.Vehicle", "--mode", "observe"],
    ]
  ) assert.equal((await arq(bus, "schema", ...args)).code, 0);
  for (const data of ['{"id":"a"}', '{"id":7}', '{"id":"b"}']) {
    assert.deepEqual((await arq(bus, "pub", "orders", data)).code, 0, "it only observes");
  }
  const text = await mirror(bus, "diff");
  assert.match(text, /^CANDIDATE +MIRRORED +AGREE +WOULD REFUSE +WOULD ALLOW +UNMATCHED\n/);
  assert.match(text, /\nschema:next +3 +2 +1 \(33\.3 %\) +0 +0\n/);
  assert.match(text, /\n\nschema:next\n {2}would refuse {2}\S+Z {2}orders .*: .*id/);
  const json = JSON.parse(await mirror(bus, "diff", "--json", "--candidate", "schema:next"));
  assert.equal(json.candidates[0].would_refuse, 1);
  assert.equal(
    JSON.parse(await mirror(bus, "diff", "--tenant", "acme", "--json")).candidates.length,
    0,
  );
  assert.equal(await mirror(bus, "diff", "--reset"), "forgot 1 candidate of tenant default\n");
  assert.equal(await mirror(bus, "diff"), "tenant default: nothing was compared on this node\n");
}

async function roles(bus: TestBus): Promise<void> {
  const where = ["--admin-url", bus.admin_url, "--token", bus.token];
  for (const args of [["list"], ["set", "lobby", "1"], ["diff"], ["explain", "lobby"]]) {
    const { code, stderr } = await runArq(["mirror", ...args, ...where]);
    assert.equal(code, 3, stderr);
    assert.match(stderr, /role-forbidden/);
  }
}

Deno.test("arq mirror on a running bus", async (t) => {
  await using bus = await startBus();
  await t.step("rules are set, replaced and listed by tenant", () => rules(bus));
  await t.step("explain says which rule counts and which are overruled", () => explain(bus));
  await t.step("a removed rule counts no longer", () => remove(bus));
  await t.step("diff shows what an observing schema would have refused", () => diff(bus));
  await t.step("all of it needs role admin", () => roles(bus));
});
