/**
 * Quotas, budgets and required signatures in a folder: applied, enforced, exported, and only by those who are allowed
 * to.
 */
import assert from "node:assert/strict";
import { startBusWith, type TestBus } from "../../../tests/harness/bus.ts";
import { startLocalBus } from "../../../tests/harness/local_bus.ts";
import { startValkey } from "../../../tests/harness/valkey_server.ts";
import { AdminClient } from "../../../tests/peers/admin_client.ts";
import { openText } from "../../../tests/peers/raw_client.ts";
import { GOOD_RULE, OLD_RULE, Traffic } from "../../../tests/rollout_traffic.ts";
import { diskIo, folderWith } from "../../testing/disk_io.ts";
import { arqOn as arq, runArq, succeeds } from "../../testing/run_arq.ts";
import { localArq } from "../../testing/local_arq.ts";
import { until } from "../../../shared/testing/until.ts";
import { CommandError } from "../../terminal/exit.ts";
import { readFolder } from "./read_folder.ts";

const LIMITS = `tenant = "acme"
require_signature = [{ role = "user", room = "bank-*" }]

[[quotas]]
unit = "messages"
per_second = 10

[[budgets]]
per = "day"
unit = "messages_in"
limit = 1_000_000
action = "warn"
`;

async function codeIn(bus: TestBus, room: string, tenant = "acme"): Promise<string> {
  const user = `u-${crypto.randomUUID()}`;
  using client = await openText(bus.url, await bus.tokenFor({ tenant, user }));
  client.send({ op: "pub", room, data: "x", id: 1 });
  const { code, reason } = await client.json();
  return `${code} ${reason ?? ""}`.trim();
}

/** The applied settings are enforced: signatures in those rooms only, and a quota that others do not notice. */
async function felt(bus: TestBus): Promise<void> {
  assert.equal(await codeIn(bus, "bank-1"), "403 signature-required");
  assert.equal(await codeIn(bus, "chat"), "0");
  assert.equal(await codeIn(bus, "bank-1", "other"), "0");
  using client = await openText(bus.url, await bus.tokenFor({ tenant: "acme", user: "flood" }));
  // All at once: the speed of the answers does not matter.
  for (let id = 1; id <= 300; id++) client.send({ op: "pub", room: "chat", data: "x", id });
  let refused: Record<string, unknown> | undefined;
  for (let id = 1; id <= 300 && refused === undefined; id++) {
    const answer = await client.json();
    if (answer.code !== 0) refused = answer;
  }
  assert.deepEqual([refused?.code, refused?.reason], [429, "tenant-quota"]);
  const admin = new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin" }));
  const { in_force } = await admin.read("/v1/tenants/acme/budgets");
  assert.deepEqual(in_force.map(({ source, limit }: Record<string, unknown>) => [source, limit]), [
    ["tenant", 1_000_000],
  ]);
}

/** A budget below the present usage gives a note, one above it does not. */
async function usedUp(bus: TestBus, state: string): Promise<void> {
  const file = `${state}/limits.toml`;
  await Deno.writeTextFile(file, LIMITS.replace("1_000_000", "1").replace('"warn"', '"slow"'));
  let warnings: string[] = [];
  // The ledger has them once the Shield has written them.
  for (let tries = 0; warnings.length === 0; tries++) {
    assert.ok(tries < 50, "it is not told");
    ({ warnings } = JSON.parse(await arq(bus, 2, "plan", state, "--json")));
  }
  assert.match(
    warnings.join("\n"),
    /^budget day messages_in slow is used up already: [1-9]\d* of 1 in this day$/,
  );
  await Deno.writeTextFile(file, LIMITS.replace("1_000_000", "2_000_000"));
  const planned = await arq(bus, 2, "plan", state);
  assert.match(planned, /~ budgets day messages_in warn {2}limit: 1000000 → 2000000\n$/);
  await Deno.writeTextFile(file, LIMITS);
}

/** A tenant's own admin may require signatures, but cannot change the limits imposed on the tenant. */
async function ownAdmin(bus: TestBus, folder: string): Promise<void> {
  const token = await bus.tokenFor({ role: "admin", tenant: "acme", user: "own" });
  const as = ["--admin-url", bus.admin_url, "--token", token];
  const file = `${folder}/quotas.toml`;
  const before = await Deno.readTextFile(file);
  await Deno.writeTextFile(file, before.replace("per_second = 10", "per_second = 10000"));
  const refused = await runArq(["apply", folder, ...as]);
  assert.deepEqual([refused.code, refused.stdout], [3, ""]);
  assert.match(refused.stderr, /for operators of the whole bus/);
  await Deno.writeTextFile(file, before);
  const signed = `${folder}/signatures.toml`;
  await Deno.writeTextFile(signed, (await Deno.readTextFile(signed)).replace("bank-*", "safe-*"));
  const applied = succeeds(await runArq(["apply", folder, ...as]));
  assert.match(
    applied,
    /\n {2}\+ require_signature user safe-\*\n|\n {2}- require_signature user bank-\*\n/,
  );
  assert.equal(await codeIn(bus, "safe-1"), "403 signature-required");
}

Deno.test("quotas, budgets and demands for signatures are applied, felt, and exported as they are", async () => {
  await using server = await startValkey();
  await using bus = await startBusWith(
    `[admin]\noperator_tenants = ["default"]\n[usage]\nenabled = true\n#constant usage.flush_ms = 100\n[quota]\nurl = "${server.url}"\n`,
  );
  await using folder = await folderWith({ "state/limits.toml": LIMITS });
  const [state, out, again] = ["state", "out", "again"].map((name) => `${folder.path}/${name}`);
  const planned = await arq(bus, 2, "plan", state!);
  assert.match(planned, /\n {2}\+ quotas messages {2}per_second 10\n/);
  assert.match(planned, /\n {2}\+ budgets day messages_in warn {2}limit 1000000, messages_per/);
  assert.match(planned, /\n {2}\+ require_signature user bank-\*\n/);
  await arq(bus, 0, "apply", state!);
  assert.match(await arq(bus, 0, "plan", state!), /nothing to do\n/);
  await felt(bus);
  assert.match(
    await arq(bus, 0, "export", out!, "--tenant", "acme"),
    /mirror 0, quotas 1, budgets 1, require_signature 1, hooks 0, schedules 0, reducers 0\n$/,
  );
  assert.match(await arq(bus, 0, "plan", out!), /nothing to do\n/);
  await usedUp(bus, state!);
  await ownAdmin(bus, out!);
  await arq(bus, 0, "export", again!, "--tenant", "acme");
  for (const name of ["quotas", "budgets", "signatures"]) {
    const text = (of: string) => Deno.readTextFile(`${of}/${name}.toml`);
    assert.equal(await text(again!), await text(out!), name);
  }
});

Deno.test("the period of a budget is that of the bus, whatever the operator's clock says", async () => {
  await using bus = await startLocalBus(
    "[usage]\nenabled = true\n#constant usage.flush_ms = 50\n",
  );
  const budget = 'per = "day"\nunit = "messages_in"\nlimit = 1\naction = "warn"\n';
  await using folder = await folderWith({ "a.toml": `tenant = "default"\n[[budgets]]\n${budget}` });
  using client = await openText(bus.url, bus.token);
  client.send({ op: "pub", room: "chat", data: "x", id: 1 });
  await client.json();
  const usedUp = async (now: () => number) => {
    const arq = await localArq(bus, folder.path, { now });
    return (await arq(2, "plan", ".")).includes("budget day messages_in warn is used up already");
  };
  await until("it is stored", () => usedUp(() => Date.now()));
  assert.ok(await usedUp(() => Date.now() + 5 * 86_400_000));
});

Deno.test("limits that nothing counts are refused, and a rollout includes those of its policies", async () => {
  await using bus = await startBusWith("");
  await using folder = await folderWith({ "limits/a.toml": LIMITS, "state/rule.wasm": "" });
  const planned = await arq(bus, 1, "plan", `${folder.path}/limits`);
  assert.match(planned, /\+ budgets day messages_in/);
  const words =
    /quotas: \[quota\] is not in the configuration of this Shield, so nothing counts them/;
  assert.match(planned, new RegExp(`^the bus refuses it: .*${words.source}`, "m"));
  assert.match(await arq(bus, 1, "apply", `${folder.path}/limits`), words);
  const state = `${folder.path}/state`;
  const rule = 'tenant = "default"\n[[policies]]\nname = "rule"\nmodule = "rule.wasm"\n';
  await Deno.writeTextFile(`${state}/a.toml`, rule);
  await Deno.writeFile(`${state}/rule.wasm`, OLD_RULE);
  await arq(bus, 0, "apply", state);
  await Deno.writeFile(`${state}/rule.wasm`, GOOD_RULE);
  const signed = '[[require_signature]]\nrole = "user"\nroom = "bank-*"\n';
  await Deno.writeTextFile(`${state}/a.toml`, rule + signed);
  using client = await openText(bus.url, bus.token);
  const traffic = new Traffic([client]);
  await arq(bus, 0, "apply", state, "--canary", "50%", "--for", "1", "--at-least", "2");
  await traffic.stop();
  assert.match(await arq(bus, 0, "plan", state), /nothing to do\n/);
  assert.equal(await codeIn(bus, "bank-1", "default"), "403 signature-required");
});

Deno.test("a folder's limits are strict: errors are reported with their place", async () => {
  const problems = async (text: string) => {
    await using folder = await folderWith({ "a.toml": `tenant = "acme"\n${text}` });
    const error = await readFolder(diskIo(folder.path), ".").then(
      () => undefined,
      (error) => error,
    );
    assert.ok(error instanceof CommandError, `${text} is refused`);
    return [error.message, ...error.more].join("\n");
  };
  const quota = (unit: string, more: string) => `[[quotas]]\nunit = "${unit}"\n${more}\n`;
  const cases: [string, RegExp][] = [
    [
      quota("mesages", "per_second = 1"),
      /quotas\[0\]\.unit: "mesages" .*did you mean "messages"\?/,
    ],
    [quota("bytes", "per_secnd = 1"), /quotas\[0\]\.per_secnd: unknown key; did you mean "per_/],
    [
      quota("messages", "per_second = 200_000_000"),
      /:4:14 quotas\[0\]\.per_second: 200000000; exp/,
    ],
    [quota("bytes", "per_second = 1").repeat(2), /quotas\[1\]\.unit: the same unit as quotas\[0\]/],
    [
      "require_signature = [{ role = 'guest', room = 'a' }]",
      /require_signature\[0\]\.role: .*"user"/,
    ],
    ["budget = []", /budget: unknown key; did you mean "budgets"\?/],
  ];
  for (const [text, expected] of cases) assert.match(await problems(text), expected);
  const budget = '[[budgets]]\nper = "day"\nunit = "fuel"\nlimit = 1\naction = "warn"\n';
  assert.match(
    await problems(budget.repeat(2)),
    /the same per and unit and action as budgets\[0\]/,
  );
});
