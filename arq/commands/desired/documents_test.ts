/** Hooks, schedules and reducers as kinds of a folder: exported, planned, applied once, and the same again. */
import assert from "node:assert/strict";
import { secretFile } from "../../../shared/config/testing/secret_file.ts";
import { startLocalBus } from "../../../tests/harness/local_bus.ts";
import { type Ask, asker } from "../../../tests/rollout_traffic.ts";
import { edit, filesOf, folderWith } from "../../testing/disk_io.ts";
import { binary } from "../../../shield/policy/testing/guests.ts";
import { localArq } from "../../testing/local_arq.ts";
import { reducedRooms, reducerFile } from "../../../shared/testing/reducers.ts";

const CONFIG = `
[webhooks]
tenant_hooks = 2
[[hooks]]
id = "fixed"
tenant = "default"
url = "https://hooks.example.com/fixed"
secret_file = "${secretFile(`whsec_${btoa("0".repeat(32))}`)}"
${reducedRooms("count-*", "counter")}
`;
const CRON = { cron: "30 12 * * 1-5", zone: "Europe/Berlin" };
const MESSAGE = { type: "lunch", data: { b: [1, null], a: "\x7f\ud800 \"'" } };

/** Sets some of each kind by hand. */
async function furnish(ask: Ask): Promise<void> {
  const hooks = "tenants/default/hooks";
  await ask("PUT", `${hooks}/billing`, {
    url: "https://hooks.example.com/b",
    events: ["room.vacated", "room.message"],
    room: "orders-*",
    retries: 3,
  });
  await ask("PUT", `${hooks}/crm`, { url: "https://hooks.example.com/c" });
  await ask("POST", `${hooks}/crm/pause`);
  const schedules = "tenants/default/schedules";
  await ask("PUT", `${schedules}/lunch`, {
    room: "lobby",
    message: MESSAGE,
    user: "cook",
    ...CRON,
  });
  await ask("PUT", `${schedules}/tick`, { room: "lobby", message: MESSAGE, every_ms: 3_600_000 });
  const late = { room: "lobby", message: MESSAGE, at_ms: Date.now() + 3_600_000 };
  await ask("PUT", `${schedules}/late`, late);
  await ask("POST", `${schedules}/late/pause`);
  const deployed = await ask(
    "PUT",
    "tenants/default/reducers/count-*",
    await Deno.readFile(reducerFile("counter_rust")),
  );
  assert.equal(deployed.status, 200, JSON.stringify(deployed.body));
}

const asksOf = async (bus: Awaited<ReturnType<typeof startLocalBus>>) =>
  asker(bus.admin_url, await bus.tokenFor({ role: "admin", user: "root" }));

Deno.test("hooks, schedules and reducers are exported, and put in force on an empty bus as they are", async () => {
  await using folder = await folderWith({});
  const one = `${folder.path}/one`;
  const two = `${folder.path}/two`;
  await using bus = await startLocalBus(CONFIG);
  const ask = await asksOf(bus);
  await furnish(ask);
  const arq = await localArq(bus, folder.path);
  const exported = await arq(0, "export", "one");
  assert.match(exported, /require_signature 0, hooks 2, schedules 3, reducers 1\n/);
  assert.doesNotMatch(JSON.stringify(await filesOf(one)), /77687365635f/, "no whsec_ in hex");
  assert.match(await arq(0, "plan", "one"), /^tenant default: nothing to do\n/);

  await using other = await startLocalBus(CONFIG);
  const arq_there = await localArq(other, folder.path);
  assert.match(await arq_there(2, "plan", "one"), /^tenant default: 6 to add, 0 to change/);
  const applied = await arq_there(0, "apply", "one");
  assert.match(applied, /\nhook billing has the new secret whsec_\S+, which is shown only once\n/);
  assert.match(await arq_there(0, "apply", "one"), /^tenant default: nothing to do\n/);
  await arq_there(0, "export", "two");
  assert.deepEqual(await filesOf(two), await filesOf(one));
  const there = await asksOf(other);
  const { hook } = (await there("GET", "tenants/default/hooks/crm")).body;
  assert.deepEqual([hook.state, hook.source], ["paused", "tenant"]);
  const { schedule } = (await there("GET", "tenants/default/schedules/lunch")).body;
  assert.deepEqual([schedule.message, schedule.user, schedule.state], [MESSAGE, "cook", "waiting"]);
  const { reducer } = (await there("GET", "tenants/default/reducers/count-*")).body;
  const of_first = (await ask("GET", "tenants/default/reducers/count-*")).body.reducer;
  assert.equal(reducer.current.module, of_first.current.module);
  // Tenants whose only settings are these are listed as tenants of the bus.
  assert.deepEqual((await there("GET", "state")).body.tenants, ["default"]);
});

/** The stored counterparts of the folder's content. */
async function stored(ask: Ask) {
  const of = async (path: string) => (await ask("GET", `tenants/default/${path}`)).body;
  const { hooks } = await of("hooks");
  const { schedules } = await of("schedules");
  const { reducers } = await of("reducers");
  return { hooks, schedules, reducers };
}

Deno.test("changes of hooks, schedules and reducers are planned and applied; unspecified ones stay", async () => {
  await using folder = await folderWith({});
  await using bus = await startLocalBus(CONFIG);
  const ask = await asksOf(bus);
  await furnish(ask);
  const arq = await localArq(bus, folder.path);
  await arq(0, "export", "one");
  const before = await stored(ask);
  const path = `${folder.path}/one`;
  await edit(`${path}/hooks.toml`, "retries = 3", "retries = 4");
  await edit(`${path}/hooks.toml`, "paused = true\n", "");
  await edit(`${path}/schedules.toml`, "from_ms", "# from_ms");
  await edit(`${path}/schedules.toml`, 'cron = "30 12', 'cron = "45 12');
  await Deno.copyFile(reducerFile("poll"), `${path}/reducers/count-.all.wasm`);
  const planned = await arq(2, "plan", "one", "--out", `${path}/plan.bin`);
  assert.match(planned, /^tenant default: 0 to add, 3 to change, 0 to remove/);
  assert.match(planned, /\n {2}~ hooks billing {2}retries: 3 → 4\n/);
  assert.match(planned, /\n {2}~ schedules lunch {2}cron: 30 12 \* \* 1-5 → 45 12 \* \* 1-5\n/);
  assert.match(planned, /\n {2}~ reducers count-\* {2}sha256: \w{12}… → \w{12}…\n/);
  assert.match(planned, /\nnote: rooms count-\* get a different program; arq room deploy/);
  // A manual change makes the plan stale.
  await ask("PUT", "tenants/default/hooks/crm", { url: "https://hooks.example.com/d" });
  assert.match(await arq(1, "apply", `${path}/plan.bin`), /stale, nothing was changed/);
  await ask("PUT", "tenants/default/hooks/crm", { url: "https://hooks.example.com/c" });
  const applied = await arq(0, "apply", `${path}/plan.bin`);
  assert.match(applied, /\napplied as \w{32}\n/);
  assert.doesNotMatch(applied, /secret/, "hooks keep theirs");
  assert.match(await arq(0, "plan", "one"), /^tenant default: nothing to do\n/);
  const after = await stored(ask);
  assert.deepEqual(after.hooks[1], before.hooks[1], "a pause of which nothing is said stays");
  assert.equal(after.schedules[2].from_ms, before.schedules[2].from_ms);
  assert.deepEqual(
    after.schedules[0],
    before.schedules[0],
    "what did not change does not begin anew",
  );
  assert.deepEqual([after.reducers[0].number, after.reducers[0].before.length], [2, 2]);

  await ask("POST", "tenants/default/schedules/lunch/pause");
  assert.match(await arq(0, "plan", "one"), /^tenant default: nothing to do\n/);
  await edit(`${path}/schedules.toml`, 'id = "lunch"', 'id = "lunch"\npaused = false');
  assert.match(await arq(2, "plan", "one"), /~ schedules lunch {2}paused: true → false\n/);

  const none = "hooks = []\nschedules = []\nreducers = []\n";
  await using empty = await folderWith({ "a.toml": `tenant = "default"\n${none}` });
  const removed = await arq(2, "plan", empty.path);
  assert.match(removed, /0 to add, 0 to change, 6 to remove/);
  assert.match(removed, /rooms count-\* get the file of the configuration as their program/);
  await arq(0, "apply", empty.path);
  const left = await stored(ask);
  assert.deepEqual(left.hooks.map(({ id }: { id: string }) => id), ["fixed"]);
  assert.deepEqual([left.schedules, left.reducers[0].current.module], [[], ""]);
});

Deno.test("reducers of an apply are those of the classes that it puts in force", async () => {
  const reducers = 'tenant = "default"\n[[reducers]]\nclass = "count-*"\nmodule = "m.wasm"\n';
  await using folder = await folderWith({ "a.toml": reducers });
  await Deno.copyFile(reducerFile("counter_rust"), `${folder.path}/m.wasm`);
  await using bus = await startLocalBus(CONFIG);
  const arq = await localArq(bus, folder.path);
  // The tenant's own class has no reducer.
  await arq(0, "room", "class", "set", "count-*", "--durable");
  assert.match(await arq(1, "apply", "."), /no class of rooms count-\* with one/);
  await edit(`${folder.path}/a.toml`, "\n", "\nrooms = []\n");
  await arq(0, "apply", ".");
  assert.match(await arq(0, "plan", "."), /^tenant default: nothing to do\n/);
  const own = '[[rooms]]\nroom = "count-*"\ndurable = true\n';
  await Deno.writeTextFile(`${folder.path}/a.toml`, reducers + own);
  assert.match(await arq(1, "apply", "."), /no class of rooms count-\* with one/);
  assert.match(await arq(0, "room", "class", "list"), /count-\*.*config/);
});

/** Its hooks can be read without a bus, which refuses its import. */
const UNKNOWN_IMPORT = binary(`(module (import "env" "nothing" (func)) (memory (export "memory") 1)
  (func (export "arqon_on_message") (result i32) i32.const 0))`);

const MAPPING =
  '[[mappings]]\nsubject = "in.t.default.r.news"\nschema_id = "news"\nmessage = "Nws"\n';

Deno.test("an invalid state is refused by plan as by apply, and a finished schedule is no change", async () => {
  await using bus = await startLocalBus(CONFIG);
  const cases: [RegExp, string][] = [
    [/fixed is in the configuration/, '[[hooks]]\nid = "fixed"\nurl = "https://a.example.com/"\n'],
    [
      /3 hooks, at most 2/,
      ["a", "b", "c"].map((id) => `[[hooks]]\nid = "${id}"\nurl = "https://a.example.com/"\n`).join(
        "",
      ),
    ],
    [
      /schedules: x: .*op is set by the schedule/,
      `[[schedules]]\nid = "x"\nroom = "r"\nmessage = '{"op":"sub"}'\nevery_ms = 5000\n`,
    ],
    [
      /schedules: x: .*priority/,
      `[[schedules]]\nid = "x"\nroom = "r"\nmessage = '{"priority":"high"}'\nevery_ms = 5000\n`,
    ],
    [/\[quota\] is not in/, '[[quotas]]\nunit = "messages"\nper_second = 10\n'],
    [
      /\[usage\] enabled is not/,
      '[[budgets]]\nper = "day"\nunit = "fuel"\nlimit = 1\naction = "warn"\n',
    ],
    [/"news"/, MAPPING],
    [/news: .*Nws/, `${MAPPING}[[schemas]]\nid = "news"\nset = "news.proto"\n`],
    [/the module is refused/, '[[reducers]]\nclass = "count-*"\nmodule = "bad.wasm"\n'],
    [/./, '[[policies]]\nname = "p"\nmodule = "bad.wasm"\n'],
    [/no class of rooms/, '[[reducers]]\nclass = "chat-*"\nmodule = "m.wasm"\n'],
  ];
  const mirror = '[[mirror]]\nprefix = "in.t.default.*"\npercent = 0.5\n';
  for (const [refusal, text] of cases) {
    await using folder = await folderWith({ "a.toml": `tenant = "default"\n${mirror}${text}` });
    await Deno.copyFile(reducerFile("counter"), `${folder.path}/m.wasm`);
    await Deno.writeFile(`${folder.path}/bad.wasm`, UNKNOWN_IMPORT);
    await Deno.writeTextFile(`${folder.path}/news.proto`, 'syntax = "proto3";\nmessage News {}\n');
    const arq = await localArq(bus, folder.path);
    const planned = await arq(1, "plan", ".");
    const [, words = ""] = /^(?:the bus refuses it|arq): (.*)$/m.exec(planned) ?? [];
    assert.match(words, refusal, planned);
    const refused = await arq(1, "apply", ".");
    assert.ok(refused.includes(words), `${refused}\ninstead of ${words}`);
    assert.match(await arq(0, "mirror", "list"), /no mirror rules/);
  }
  const over = `[[schedules]]\nid = "x"\nroom = "r"\nmessage = "{}"\nat_ms = 5\n`;
  await using folder = await folderWith({ "a.toml": `tenant = "default"\n${over}` });
  const arq = await localArq(bus, folder.path);
  const planned = await arq(0, "plan", ".");
  assert.match(planned, /nothing to do\nnote: schedule x has ended: it has no due time left\n/);
  const wrong = `[[schedules]]\nid = "x"\nroom = "r"\nmessage = "[]"\ncron = "61 * * * *"\n` +
    '[[hooks]]\nid = "a"\nurl = "ftp://x"\nsecret = "whsec_x"\n';
  await Deno.writeTextFile(`${folder.path}/a.toml`, `tenant = "default"\n${wrong}`);
  const output = await arq(1, "plan", ".");
  assert.match(output, /schedules\[0\]\.message: .*expected JSON of an object/);
  assert.match(output, /hooks\[0\]\.secret: unknown key/);
});
