/** `arq plan --since` against a real bus: what a new module would have decided of what was sent. */
import assert from "node:assert/strict";
import { startBusWith } from "../../../tests/harness/bus.ts";
import { PATIENT_POLICIES } from "../../../tests/harness/patient_policies.ts";
import type { TestBus } from "../../../tests/harness/bus.ts";
import { openText } from "../../../tests/peers/raw_client.ts";
import { folderWith } from "../../testing/disk_io.ts";
import { runArq } from "../../testing/run_arq.ts";

const CONFIG = `
[server]
host = "127.0.0.1"
[journal]
journal = "all"
journal_payload = "keep"
flush_ms = 50
`;
const BUILD = new URL("../../../policies/build", import.meta.url).pathname;
const policy = (module: string) =>
  `tenant = "default"\n[[policies]]\nname = "words"\nmodule = "${module}.wasm"\n`;

/** What a rule has refused would be let through without it. */
async function removed(
  folder: string,
  arq: (code: number, args: string[], stdin?: string) => Promise<string>,
): Promise<void> {
  const [file, kept] = [`${folder}/a.toml`, await Deno.readTextFile(`${folder}/a.toml`)];
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
    /would be refused: 0, would be let through: 1, .*\n {4}\S+ in lobby\n {2}fuel/,
  );
  await Deno.writeTextFile(file, policy("content_size"));
  await arq(0, ["apply", folder]);
  await Deno.writeTextFile(file, kept);
}

Deno.test("a plan names how many messages a new module would have refused or let through", async () => {
  await using bus = await startBusWith(CONFIG + PATIENT_POLICIES);
  await using folder = await folderWith({ "a.toml": policy("content_size") });
  for (const name of ["content_size", "bad_words"]) {
    await Deno.copyFile(`${BUILD}/${name}.wasm`, `${folder.path}/${name}.wasm`);
  }
  const arq = async (code: number, args: string[], stdin?: string) => {
    const more = stdin === undefined ? {} : { stdin };
    const result = await runArq([...args, "--url", bus.url], more);
    assert.equal(result.code, code, `${args.join(" ")}: ${result.stderr}${result.stdout}`);
    return result.stdout;
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
});

/** One user sends those texts, which the bus takes. */
async function send(bus: TestBus, user: string, texts: readonly string[]): Promise<void> {
  using client = await openText(bus.url, await bus.tokenFor({ user }));
  for (const [index, data] of texts.entries()) {
    client.send({ op: "pub", room: index % 2 === 0 ? "cars-1" : "lobby", data, id: index + 1 });
    assert.equal((await client.json()).code, 0, String(data));
  }
}

const PROTO = `syntax = "proto3"; package fleet.v1; message Vehicle { string id = 1; }`;
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

Deno.test("a plan judges the window by policies and mappings that are new, and names who sent what", async () => {
  await using bus = await startBusWith(CONFIG + PATIENT_POLICIES);
  await using folder = await folderWith({ "a.toml": NEW, "proto/a.proto": PROTO });
  await Deno.copyFile(`${BUILD}/bad_words.wasm`, `${folder.path}/bad_words.wasm`);
  // Even ones go to cars-1, odd ones to lobby.
  await send(bus, "ann", ["tea", "malware one", "malware two", "milk"]);
  await send(bus, "bob", ["malware three"]);
  const plan = async (...more: string[]) => {
    const result = await runArq(["plan", folder.path, "--since", "1h", ...more, "--url", bus.url]);
    assert.equal(result.code, 2, result.stderr + result.stdout);
    return result.stdout;
  };
  let told = JSON.parse(await plan("--json"));
  // The journal has them once the Shield has written them.
  for (let tries = 0; told.since[1].decisions < 5; tries++) {
    assert.ok(tries < 50, JSON.stringify(told.since));
    told = JSON.parse(await plan("--json"));
  }
  const [seen, words] = told.since;
  assert.deepEqual([seen.policy, seen.mode, seen.decisions], ["seen", "observe", 2]);
  assert.deepEqual([seen.allow_to_refuse, seen.by_sender], [1, { ann: 1 }]);
  assert.deepEqual([words.policy, words.action, words.repeated, words.unknown], [
    "words",
    "add",
    5,
    0,
  ]);
  assert.deepEqual([words.allow_to_refuse, words.by_sender], [3, { ann: 2, bob: 1 }]);
  const [fleet] = told.since_schemas;
  // Text is no Vehicle; what was sent to lobby is not mapped.
  assert.deepEqual([fleet.schema, fleet.checked, fleet.allow_to_refuse], ["fleet", 3, 3]);
  assert.deepEqual([fleet.by_sender, fleet.still_refused], [{ ann: 2, bob: 1 }, 0]);
  const text = await plan();
  assert.match(text, /\n {2}by sender:\n {4}2 ann\n {4}1 bob\n {2}fuel p99: [\d.]+\n/);
  assert.match(text, /\n {2}it only observes: nothing of this happens yet\n/);
  assert.match(text, /\nschema fleet since .*: 3 events checked\n {2}would be refused: 3, /);
});
