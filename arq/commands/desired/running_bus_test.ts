/**
 * `arq plan`, `apply` and `rollout` against a real bus: a rollout with traffic and Ctrl-C, folders of the whole bus,
 * and what a new module would have decided about recorded traffic.
 */
import assert from "node:assert/strict";
import { until } from "../../../shared/testing/until.ts";
import { startBusWith, type TestBus } from "../../../tests/harness/bus.ts";
import { PATIENT_POLICIES } from "../../../tests/harness/patient_policies.ts";
import { openText } from "../../../tests/peers/raw_client.ts";
import { BAD_RULE, GOOD_RULE, OLD_RULE, Traffic } from "../../../tests/rollout_traffic.ts";
import { Admin } from "../../bus/admin.ts";
import { CommandError, EXIT } from "../../terminal/exit.ts";
import type { Io } from "../../terminal/io.ts";
import { traps } from "../../replay/testing/guest_text.ts";
import { diskIo, filesOf, folderWith } from "../../testing/disk_io.ts";
import { arqOn, exits, runArq, startArq } from "../../testing/run_arq.ts";
import { readBusFolder } from "./plan.ts";
import { watchRollout } from "./rollout.ts";

// `arq apply --canary` and `arq rollout` against a real bus with traffic, and Ctrl-C.

const FOLDER = `tenant = "default"
[[policies]]
name = "rule"
module = "rule.wasm"
`;

interface Run {
  readonly bus: TestBus;
  readonly folder: string;
  /** Puts a module into the folder. */
  put(bytes: Uint8Array): Promise<void>;
  arq(code: number, ...args: string[]): Promise<string>;
}

async function wrongOptions({ folder, arq }: Run): Promise<void> {
  const wrong: [RegExp, string[]][] = [
    [/unknown metric; expected one of refused/, ["--canary", "1%", "--abort-if", "refusd>1%"]],
    [/as in "refused>0.1%"/, ["--canary", "1%", "--abort-if", "refused"]],
    [/more than nothing/, ["--canary", "0"]],
    [/share of all keys/, ["--canary", "200%"]],
    [/--for .*10 *x/, ["--canary", "1%", "--for", "10x"]],
    [/are about --canary/, ["--for", "10m"]],
  ];
  for (const [text, options] of wrong) {
    assert.match(await arq(2, "apply", folder, ...options), text);
  }
}

async function good({ folder, put, arq }: Run): Promise<void> {
  await put(GOOD_RULE);
  const steps = ["--canary", "50%", "--for", "1", "--at-least", "5", "--abort-if", "refused>50%"];
  const output = await arq(0, "apply", folder, ...steps);
  assert.match(output, /1 to change.*no connection is touched/);
  assert.match(output, /observing; /);
  assert.match(output, /in force for 50 ?%; .*\n {2}rule: \d+ messages, \d+ by the new version/);
  assert.match(output, /applied: the new state is in force\n/);
  assert.match(await arq(0, "apply", folder, ...steps), /nothing to do/);
  assert.match(
    await arq(0, "rollout", "show"),
    /: applied\nends if refused>50%, faults>1%\napplied: /,
  );
}

async function bad({ folder, put, arq }: Run, traffic: Traffic): Promise<void> {
  await put(BAD_RULE);
  traffic.texts = ["abc1", "abc7"];
  const steps = ["--canary", "50%", "--abort-if", "fuel_p99>9x", "--abort-if", "refused > 1%"];
  const output = await arq(1, "apply", folder, ...steps, "--json");
  const view = JSON.parse(output.split("\n").find((line) => line.startsWith("{"))!);
  assert.deepEqual([view.rollout.state, view.rollout.ended.condition], ["returned", "refused>1%"]);
  const shown = await arq(0, "rollout", "show");
  assert.match(shown, /rolled back: the previous state is in force; begun by /);
  assert.match(
    shown,
    /refused>1% was violated by rule: \d+ of \d+ messages\n.* would refuse: \S+ in r/,
  );
  assert.match(await arq(0, "rollout", "list"), / returned at 0 ?%: refused>1% .*\n.* applied\n/);
  await put(await traps());
  const failed = await arq(1, "apply", folder, "--canary", "50%");
  assert.match(failed, /faults>1% was violated by rule: \d+ of \d+ messages/);
  await put(BAD_RULE);
  traffic.texts = ["abc1"];
}

async function left({ bus, folder, arq }: Run): Promise<void> {
  const running = await startArq(["apply", folder, "--canary", "1%", "--url", bus.url]);
  await running.says("observing");
  assert.match(await arq(1, "apply", folder), /rollout [0-9a-f]{32} by .* is under way, nothing/);
  running.child.kill("SIGINT");
  await running.says("the rollout continues without this terminal: ");
  assert.equal((await running.result()).code, 130);
  assert.match(await arq(0, "rollout", "show"), /: running\nends if faults>1%\nobserving; /);
}

/** A schema and a hook of the folder come into force with the last step, not before. */
async function withSchema({ bus, folder, put, arq }: Run): Promise<void> {
  const proto = 'syntax = "proto3";\npackage fleet.v1;\nmessage Vehicle {\n  string id = 1;\n}\n';
  await Deno.mkdir(`${folder}/p`);
  await Deno.writeTextFile(`${folder}/p/a.proto`, proto);
  const hook = '[[hooks]]\nid = "crm"\nurl = "https://hooks.example.com/"\n';
  await Deno.writeTextFile(`${folder}/s.toml`, `[[schemas]]\nid = "fleet"\nset = "p"\n${hook}`);
  await put(OLD_RULE);
  const schemas = async () => JSON.parse(await arq(0, "schema", "list", "--json")).schemas;
  const running = await startArq(["apply", folder, "--canary", "1%", "--url", bus.url]);
  await running.says("observing");
  assert.match(await arq(0, "rollout", "show"), /\nschemas with the last step: fleet 1\n/);
  assert.deepEqual(await schemas(), []);
  await arq(0, "rollout", "abort");
  const returned = await running.result();
  assert.equal(returned.code, 1);
  assert.match(returned.stdout, /hook crm has the new secret whsec_/);
  assert.deepEqual(await schemas(), []);
  assert.match(await arq(0, "hook", "list"), /no hooks/);
  await arq(0, "apply", folder, "--canary", "50%", "--for", "1", "--at-least", "1");
  const [{ schema_id, latest }] = await schemas();
  const { rollout } = JSON.parse(await arq(0, "rollout", "show", "--json"));
  assert.deepEqual([schema_id, latest.version, latest.apply], ["fleet", 1, rollout.id]);
  assert.deepEqual([rollout.hooks, JSON.stringify(rollout).includes("whsec_")], [undefined, false]);
  assert.match(await arq(0, "hook", "list"), /crm/);
  assert.match(await arq(0, "plan", folder), /nothing to do\n/);
}

/** A terminal whose user presses Ctrl-C at once and types `typed`. */
function person(typed: string): Io & { readonly printed: () => string } {
  const io = diskIo("/", true);
  return {
    ...io,
    is_stdin_tty: true,
    stdin: () => new Blob([`${typed}\n`]).stream(),
    takeInterrupt(onNext) {
      onNext();
      return () => {};
    },
    printed: () => io.stdout.text() + io.stderr.text(),
  };
}

async function asked({ bus, arq }: Run): Promise<void> {
  const token = await bus.tokenFor({ role: "admin", user: "root" });
  const by = (io: Io) => new Admin(io, bus.admin_url, token);
  const { rollout: { id } } = JSON.parse(await arq(0, "rollout", "show", "--json"));
  const rollout = { tenant: "default", id };
  const hold = person("h");
  assert.equal(await watchRollout(by(hold), rollout, {}), EXIT.interrupted);
  assert.match(
    hold.printed(),
    /hold the rollout, go on, or return to the old state\? \[h\/g\/r\] held; /,
  );
  assert.match(await arq(0, "rollout", "show"), /: paused\n/);
  assert.match(await arq(0, "rollout", "resume"), /: running\n/);
  const on = person("g");
  const watching = watchRollout(by(on), rollout, {});
  await until("it was asked", () => on.printed().includes("[h/g/r]"));
  const back = person("r");
  assert.equal(await watchRollout(by(back), rollout, {}), EXIT.failure);
  assert.match(back.printed(), /aborted by root\n/);
  assert.equal(await watching, EXIT.failure, "who went on sees the end too");
  assert.match(await arq(1, "rollout", "resume"), /is returned: it can no longer be resumed/);
}

/** The user answers only after the rollout has ended: the command reports its end, not an error. */
async function askedTooLate({ bus, folder, arq }: Run): Promise<void> {
  const token = await bus.tokenFor({ role: "admin", user: "root" });
  const by = (io: Io) => new Admin(io, bus.admin_url, token);
  for (const typed of ["h", "r"]) {
    const running = await startArq(["apply", folder, "--canary", "1%", "--url", bus.url]);
    await running.says("observing");
    const { rollout: { id } } = JSON.parse(await arq(0, "rollout", "show", "--json"));
    const slow: ReturnType<typeof person> = {
      ...person(""),
      stdin: () =>
        new ReadableStream({
          async pull(controller) {
            await arq(0, "rollout", "abort");
            controller.enqueue(new TextEncoder().encode(`${typed}\n`));
            controller.close();
          },
        }, { highWaterMark: 0 }),
    };
    assert.equal(await watchRollout(by(slow), { tenant: "default", id }, {}), EXIT.failure);
    assert.match(slow.printed(), /rolled back: the previous state is in force/);
    const is_late = /is returned: it can no longer be paused/.test(slow.printed());
    assert.equal(is_late, typed === "h", "an abort of what was aborted is done already");
    assert.equal((await running.result()).code, 1);
  }
}

Deno.test("arq apply --canary completes, rolls back, detaches and prompts", async (t) => {
  await using bus = await startBusWith(PATIENT_POLICIES);
  await using files = await folderWith({ "state/policies.toml": FOLDER });
  const folder = `${files.path}/state`;
  const put = (bytes: Uint8Array) => Deno.writeFile(`${folder}/rule.wasm`, bytes);
  const run: Run = { bus, folder, put, arq: (...given) => arqOn(bus, ...given) };
  await put(OLD_RULE);
  await run.arq(0, "apply", folder);
  const clients = await Promise.all(
    [0, 1, 2, 3].map(async (at) => await openText(bus.url, await bus.tokenFor({ user: `u${at}` }))),
  );
  const traffic = new Traffic(clients);
  await t.step("options that are wrong", () => wrongOptions(run));
  await t.step("a good rule", () => good(run));
  await t.step("a bad rule", () => bad(run, traffic));
  await t.step("Ctrl-C in a script leaves it to the bus", () => left(run));
  await t.step("Ctrl-C at a terminal prompts", () => asked(run));
  await t.step("Ctrl-C, and a late answer", () => askedTooLate(run));
  await t.step("a schema is applied with the last step", () => withSchema(run));
  await traffic.stop();
  for (const client of clients) client[Symbol.dispose]();
});

// Folders of the whole bus: exported, planned and applied as one, and strict.

const OPERATORS = '[admin]\noperator_tenants = ["default"]\n';
const PROTO = `syntax = "proto3"; package fleet.v1; message Vehicle { string id = 1; }`;
const BUS = '[[schemas]]\nid = "fleet"\nset = "proto"\n';

const mapped = (message: string) =>
  `[[mappings]]\nsubject = "in.t.acme.r.cars-*"\nschema_id = "fleet"\nmessage = "${message}"\n`;

const mirrored = (tenant: string, percent: number) =>
  `tenant = "${tenant}"\n[[mirror]]\nprefix = "in.t.${tenant}.*"\npercent = ${percent}\n`;

const outcomesOf = ({ parts }: { parts: { outcome: string }[] }) =>
  parts.map(({ outcome }) => outcome);

/** The second of three tenants is refused: the outcome of each is reported. */
async function refusedInBetween(
  arq: (code: number, ...args: string[]) => Promise<string>,
  state: string,
): Promise<void> {
  const output = await arq(1, "apply", state);
  assert.match(
    output,
    /\napplied as [0-9a-f]{32}\ntenant globex: refused, nothing was changed\ntenant zoo: not tried\n/,
  );
  assert.match(output, /tenant globex: .*fleet\.v1\.Boat.*; applied before it: tenant acme\n/);
  const [json = ""] = (await arq(1, "apply", state, "--json")).split("\n");
  const again = JSON.parse(json);
  assert.deepEqual(outcomesOf(again), ["unchanged", "unchanged", "refused", "not-tried"]);
  const left = await arq(1, "plan", state);
  assert.match(left, /\ntenant acme: nothing to do\ntenant globex: 1 to add, 1 to change/);
  assert.match(left, /\nthe bus refuses it: .*: fleet: .*"fleet\.v1\.Boat"\ntenant zoo: 0 to add/);
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
  const arq = (code: number, ...args: string[]) => arqOn(bus, code, ...args);
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
  // The folder of a tenant that was deleted since: an apply would bring it back.
  await arq(0, "mirror", "remove", "in.t.third.*", "--tenant", "third");
  await arq(0, "tenant", "delete", "third", "--yes");
  const kept = await arq(0, "export", again!, "--bus", "--force");
  assert.match(kept, /\narq: third\/mirror\.toml is not part of this export, and is kept\n/);
  assert.doesNotMatch(kept, /acme\/.* is not part/);
  // A tenant's folder in it is an ordinary folder.
  assert.match(await arq(0, "plan", `${out}/acme`), /^tenant acme: nothing to do\n/);
  assert.match(await arq(2, "apply", out!, "--canary", "1%"), /a rollout is for one tenant/);
  assert.match(await arq(1, "plan", out!, "--out", "plan.bin"), /--out is for one tenant/);

  await Deno.writeTextFile(`${state}/one/a.toml`, mirrored("acme", 0.75));
  const wrong = mirrored("globex", 1) + mapped("fleet.v1.Boat").replace("acme", "globex");
  await Deno.writeTextFile(`${state}/two/a.toml`, wrong);
  await Deno.writeTextFile(`${state}/zoo/a.toml`, mirrored("zoo", 1));
  await refusedInBetween(arq, state!);
  await Deno.writeTextFile(`${state}/two/a.toml`, mirrored("globex", 1));
  const finished = JSON.parse(await arq(0, "apply", state!, "--json"));
  assert.deepEqual(outcomesOf(finished), ["unchanged", "unchanged", "applied", "applied"]);
  assert.match(await arq(0, "plan", state!), /\ntenant globex: nothing to do\n/);
  // A tenant's own admin cannot use a folder of the bus.
  const token = await bus.tokenFor({ role: "admin", tenant: "acme" });
  const own = await runArq(["plan", state!, "--admin-url", bus.admin_url, "--token", token]);
  assert.equal(own.code, 3, own.stderr);
  // Nor can the admin's step put schemas in force, which belong to the bus.
  const url = `${bus.admin_url}/v1/tenants/acme/state`;
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const { basis } = await (await fetch(url, { headers })).json();
  const schemas = [{ schema_id: "fleet", version: 2, sha256: "0".repeat(64) }];
  const body = JSON.stringify({ basis, schemas });
  const refused = await fetch(url, { method: "PUT", headers, body });
  assert.deepEqual([refused.status, (await refused.json()).reason], [403, "role-forbidden"]);
});

Deno.test("a folder of the bus is strict: anything in the wrong folder is reported with its place", async () => {
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
  assert.match(lines.join("\n"), /\.\/c: \.\/b is for tenant globex, too/);
});

// `arq plan --since` against a real bus: what a new module would have decided about recorded traffic.

const CONFIG = `
[server]
host = "127.0.0.1"
[journal]
journal = "all"
#constant journal.journal_payload = "keep"
#constant journal.flush_ms = 50
`;

const BUILD = new URL("../../../policies/build", import.meta.url).pathname;

const policy = (module: string) =>
  `tenant = "default"\n[[policies]]\nname = "words"\nmodule = "${module}.wasm"\n`;

/** Messages refused by a rule would be admitted without it. */
async function removed(
  folder: string,
  arq: (code: number, args: string[], stdin?: string) => Promise<string>,
): Promise<void> {
  const file = `${folder}/a.toml`;
  const kept = await Deno.readTextFile(`${folder}/a.toml`);
  await arq(0, ["apply", folder]);
  await arq(5, ["pub", "lobby", "malware three"]);
  await Deno.writeTextFile(file, 'tenant = "default"\npolicies = []\n');
  let found = { refuse_to_allow: 0, action: "", decisions: 0, by_sender: {} };
  for (let tries = 0; found.refuse_to_allow === 0; tries++) {
    assert.ok(tries < 50, JSON.stringify(found));
    found = JSON.parse(await arq(2, ["plan", folder, "--since", "1h", "--json"])).since[0];
  }
  assert.deepEqual([found.action, found.decisions, found.refuse_to_allow], ["remove", 6, 1]);
  const text = await arq(2, ["plan", folder, "--since", "1h"]);
  assert.match(
    text,
    /would be refused: 0, would be allowed: 1, .*\n {4}\S+ in lobby\n {2}fuel/,
  );
  await Deno.writeTextFile(file, policy("content_size"));
  await arq(0, ["apply", folder]);
  await Deno.writeTextFile(file, kept);
}

Deno.test("a plan shows how many messages a new module would have refused or allowed", async () => {
  await using bus = await startBusWith(CONFIG + PATIENT_POLICIES);
  await using folder = await folderWith({ "a.toml": policy("content_size") });
  for (const name of ["content_size", "bad_words"]) {
    await Deno.copyFile(`${BUILD}/${name}.wasm`, `${folder.path}/${name}.wasm`);
  }
  const arq = async (code: number, args: string[], stdin?: string) => {
    return (await exits(code, [...args, "--url", bus.url], { stdin })).stdout;
  };
  await arq(0, ["apply", folder.path]);
  const texts = ["tea", "malware one", "milk", "malware two", "cake"];
  await arq(0, ["pub", "lobby", "--ndjson", "-"], texts.map((text) => `"${text}"\n`).join(""));
  await Deno.writeTextFile(`${folder.path}/a.toml`, policy("bad_words"));
  // The journal has them once the Shield has written them.
  let found: { decisions: number; [member: string]: unknown } | undefined;
  for (let tries = 0; found?.decisions !== texts.length; tries++) {
    assert.ok(tries < 50, JSON.stringify(found));
    found = JSON.parse(await arq(2, ["plan", folder.path, "--since", "1h", "--json"])).since[0];
  }
  assert.deepEqual(Object.values(found["by_sender"] as object), [2], "both by one sender");
  const { policy: name, repeated, allow_to_refuse, refuse_to_allow, recorded_different } = found;
  assert.deepEqual([name, repeated], ["words", 5]);
  assert.deepEqual([allow_to_refuse, refuse_to_allow, recorded_different], [2, 0, 0]);
  await removed(folder.path, arq);
  const text = await arq(2, ["plan", folder.path, "--since", "1h"]);
  assert.match(text, /\npolicy words since .*: 6 decisions, 6 repeated\n {2}would be refused: 2, /);
  assert.match(text, /\n {4}\S+ in lobby\n/);
  await Deno.writeTextFile(`${folder.path}/a.toml`, `${policy("bad_words")}room = "other-*"\n`);
  const [narrowed] =
    JSON.parse(await arq(2, ["plan", folder.path, "--since", "1h", "--json"])).since;
  assert.deepEqual([narrowed.decisions, narrowed.allow_to_refuse], [0, 0], "no longer its rooms");
  await arq(0, ["apply", folder.path]);
  // Neither the module nor the messages change: only where its verdicts count.
  await Deno.writeTextFile(`${folder.path}/a.toml`, policy("bad_words"));
  const widened = await arq(2, ["plan", folder.path, "--since", "1h"]);
  const of = "8 operations, 7 of them admitted then";
  assert.match(widened, new RegExp(`\nall together since \\S+: ${of}\n  would be refused: 2, `));
  assert.match(widened, /\n {2}refused by:\n {4}2 policy words\n/);
});

/** One user sends these texts, which the bus accepts. */
async function send(bus: TestBus, user: string, texts: readonly string[]): Promise<void> {
  using client = await openText(bus.url, await bus.tokenFor({ user }));
  for (const [index, data] of texts.entries()) {
    client.send({ op: "pub", room: index % 2 === 0 ? "cars-1" : "lobby", data, id: index + 1 });
    assert.equal((await client.json()).code, 0, String(data));
  }
}

const NEW = `tenant = "default"
policies = [
  { name = "words", module = "bad_words.wasm" },
  { name = "seen", module = "bad_words.wasm", mode = "observe", room = "lobby" },
]

[[schemas]]
id = "fleet"
set = "proto"

[[mappings]]
subject = "in.t.default.r.cars-*"
schema_id = "fleet"
message = "fleet.v1.Vehicle"
`;

Deno.test("a plan judges the window by new policies and mappings, and names the senders", async () => {
  const quiet = '[[rooms]]\nroom = "quiet-*"\njournal = "off"\n';
  await using bus = await startBusWith(CONFIG + quiet + PATIENT_POLICIES);
  await using folder = await folderWith({ "a.toml": NEW, "proto/a.proto": PROTO });
  await Deno.copyFile(`${BUILD}/bad_words.wasm`, `${folder.path}/bad_words.wasm`);
  // Even ones go to cars-1, odd ones to lobby.
  await send(bus, "ann", ["tea", "malware one", "malware two", "milk"]);
  await send(bus, "bob", ["malware three"]);
  const plan = async (...more: string[]) => {
    const args = ["plan", folder.path, "--since", "1h", ...more, "--url", bus.url];
    return (await exits(2, args)).stdout;
  };
  let planned = JSON.parse(await plan("--json"));
  // The journal has them once the Shield has written them.
  for (let tries = 0; planned.since[1].decisions < 5; tries++) {
    assert.ok(tries < 50, JSON.stringify(planned.since));
    planned = JSON.parse(await plan("--json"));
  }
  const [quietly] = planned.not_replayed;
  assert.equal(quietly, "rooms quiet-*: their class records a part of the decisions, or none");
  const [seen, words] = planned.since;
  assert.deepEqual([seen.policy, seen.mode, seen.decisions], ["seen", "observe", 2]);
  assert.deepEqual([seen.allow_to_refuse, seen.by_sender], [1, { ann: 1 }]);
  assert.deepEqual([words.policy, words.action, words.repeated, words.unknown], [
    "words",
    "add",
    5,
    0,
  ]);
  assert.deepEqual([words.allow_to_refuse, words.by_sender], [3, { ann: 2, bob: 1 }]);
  const [fleet] = planned.since_schemas;
  // Text is no Vehicle; lobby is not mapped.
  assert.deepEqual([fleet.schema, fleet.checked, fleet.allow_to_refuse], ["fleet", 3, 3]);
  assert.deepEqual([fleet.by_sender, fleet.still_refused], [{ ann: 2, bob: 1 }, 0]);
  const text = await plan();
  assert.match(text, /\n {2}by sender:\n {4}2 ann\n {4}1 bob\n {2}fuel p99: [\d.]+\n/);
  assert.match(text, /\n {2}it only observes: none of this is enforced yet\n/);
  assert.match(text, /\nschema fleet since .*: 3 events checked\n {2}would be refused: 3, /);
  assert.match(text, /\nNOT REPLAYED: before \S+Z: the journal begins then\n/);
});
