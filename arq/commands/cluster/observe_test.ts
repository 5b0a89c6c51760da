/**
 * The commands with which operators observe a running bus: `status --watch`, `top`, `tail`, `config show`, `config
 * reload`, and `mirror`.
 */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import { sharedByTests } from "../../../shared/testing/shared_by_tests.ts";
import { startBus, type TestBus } from "../../../tests/harness/bus.ts";
import { StreamedCommand } from "../../../tasks/checkout/streamed_command.ts";
import { configText, reloadedExit, reloadedText } from "../../answers/settings_text.ts";
import { folderWith } from "../../testing/disk_io.ts";
import { arqOn, runArq, startArq, succeeds } from "../../testing/run_arq.ts";
import { atEnd } from "../../../shared/testing/at_end.ts";

// `arq status --watch`, `arq top` and `arq tail` against a real bus.

/** For all tests but the one that rewrites its configuration. */
const running = sharedByTests(() => startBus());

const at = (bus: TestBus, token: string) => ["--admin-url", bus.admin_url, "--token", token];

async function tailed(bus: TestBus, admin: string): Promise<void> {
  const tail = await startArq(["tail", "lobby", "--count", "2", ...at(bus, admin)]);
  const json = await startArq(["tail", "lobby", "--count", "1", "--json", ...at(bus, admin)]);
  await Promise.all([tail, json].map((one) => one.says("Tailing lobby of tenant default")));
  const client = await connect({ url: bus.url, token: bus.token });
  const room = client.room("lobby");
  await room.publish("chat", { hello: "\u001b[31mred" });
  await room.publish("chat", "plain text");
  const lines = (await tail.result()).stdout.trimEnd().split("\n");
  assert.match(lines[0] ?? "", /^20\S+Z chat \S+ \{"hello":"\\u001b\[31mred"\}$/);
  assert.match(lines[1] ?? "", /^20\S+Z chat \S+ "?plain text"?$/);
  const { stdout } = await json.result();
  const { room: name, data, size_bytes } = JSON.parse(stdout);
  assert.deepEqual([name, data], ["lobby", { hello: "\u001b[31mred" }]);
  assert.ok(size_bytes > 20);
  await client.close();
}

/** Shield and Brain of a development bus: their shared memory is listed and summed once. */
function assertOneProcess(text: string): void {
  const lines = text.split("\n").map((line) => line.trim());
  const memory = lines.flatMap((line) =>
    /^(shield|brain|total) .* (\d+) MB(?: |$)/.exec(line)?.slice(1) ?? []
  );
  assert.deepEqual([memory[0], memory[2], memory.length], ["shield", "total", 4], text);
  assert.equal(memory[1], memory[3], text);
  assert.match(text, /^ *brain \S+ +ready .* shared +shared +shared /m);
  assert.match(text, /^ *total +1 process /m);
  assert.match(text, /^ *brain (\S+): one process with shield \S+$/m);
}

async function topped(bus: TestBus, admin: string): Promise<void> {
  const options = ["--count", "1", "--interval", "0.2", ...at(bus, admin)];
  const people = succeeds(await runArq(["top", ...options]));
  assert.match(people, /^node +state +conns/m);
  assert.match(people, /^shield \S+ +ready /m);
  assert.match(people, /^brain \S+ +ready /m);
  assertOneProcess(people);
  assert.match(people, /^tenant +conns +rooms/m);
  assert.match(people, /^default /m);
  assert.ok(!people.includes("\u001b"), "a pipe gets text only");
  const { nodes, tenants } = JSON.parse((await runArq(["top", "--json", ...options])).stdout);
  assert.deepEqual(nodes.map(({ kind }: { kind: string }) => kind), ["shield", "brain"]);
  assert.match(nodes[0].process_id, /^[0-9a-f-]{36}$/);
  assert.equal(nodes[0].process_id, nodes[1].process_id);
  assert.equal(tenants[0].tenant_id, "default");
  assert.equal(typeof nodes[0].rates.cpu, "number");
}

async function watched(bus: TestBus, admin: string): Promise<void> {
  const source = ["--ops-url", bus.ops_url, ...at(bus, admin)];
  const { code, stdout } = await runArq(["status", ...source]);
  assert.equal(code, 0);
  assert.match(stdout, /^cluster {2}http/m);
  assert.match(stdout, /^ {2}shield \S+ +ready /m);
  assertOneProcess(stdout);
  const watch = await startArq(["status", "--watch", "0.1", "--json", ...source]);
  const printed = new StreamedCommand(watch.child, ["stdout"]);
  await printed.shows(() => printed.lines.length > 1);
  assert.equal(JSON.parse(printed.lines[0] ?? "").cluster.nodes.length, 2);
  assert.equal((await printed.stop("SIGINT")).code, 130);
}

async function refused(bus: TestBus): Promise<void> {
  const user = await runArq(["top", "--count", "1", ...at(bus, bus.token)]);
  assert.equal(user.code, 3);
  const tail = await runArq(["tail", "lobby", ...at(bus, bus.token)]);
  assert.equal(tail.code, 3);
  const room = await runArq(["tail", "no room"]);
  assert.equal(room.code, 2);
  const nobody = await runArq(["top", "--admin-url", "http://127.0.0.1:1", "--token", bus.token]);
  assert.equal(nobody.code, 4);
}

Deno.test("status, top and tail show a running bus to its operator only", async (t) => {
  const bus = await running();
  const admin = await bus.tokenFor({ role: "admin" });
  await t.step(
    "tail prints messages without terminal control characters",
    () => tailed(bus, admin),
  );
  await t.step("top shows nodes and tenants, for people and as JSON", () => topped(bus, admin));
  await t.step("status has every node, and watches until Ctrl-C", () => watched(bus, admin));
  await t.step("no admin, no such room, no server: each has its exit code", () => refused(bus));
});

// `arq config show` and `arq config reload` against a bus whose file is rewritten.

Deno.test("arq config reload prints what changed, what needs a restart and what is refused; show prints what is in force", async () => {
  const file = await Deno.makeTempFile({ suffix: ".toml" });
  await using _end = atEnd(() => Deno.remove(file));
  await Deno.writeTextFile(file, "[limits]\nconnections_per_user = 9\n");
  await using bus = await startBus(["--config", file]);
  const arq = (code: number, ...args: string[]) => arqOn(bus, code, "config", ...args);
  assert.match(
    await arq(0, "show"),
    /^shield \S+: \/\S+, read \d{4}-.*\n(.*\n)* {2}limits\.connections_per_user = 9\n/,
  );
  assert.match(await arq(0, "reload"), /\n {2}changed: nothing\n$/);
  await Deno.writeTextFile(file, "[limits]\nconnections_per_user = 7\nmax_frame_bytes = 2_048\n");
  assert.match(
    await arq(0, "reload"),
    /\n {2}changed: limits\.connections_per_user\n {2}needs a restart: limits\.max_frame_bytes\n$/,
  );
  await Deno.writeTextFile(file, "[limits]\nconnections_per_use = 3\n");
  assert.match(
    await arq(1, "reload"),
    /refused, nothing has changed: .*:2:1 limits\.connections_per_use: unknown key; did you mean "connections_per_user"\?/,
  );
  const { configs } = JSON.parse(await arq(0, "show", "--json"));
  assert.equal(configs[0].values["limits.connections_per_user"], 7);
  assert.match(
    await arq(0, "show"),
    / {2}limits\.connections_per_user = 7\n(.*\n)* {2}refused, nothing has/,
  );
  const { node_id } = configs[0];
  assert.match(await arq(1, "reload", "--node", node_id), /refused/);
  for (const command of ["show", "reload"]) {
    assert.match(await arq(1, command, "--node", "nobody"), /no node nobody answers/);
  }
});

Deno.test("configuration as text: a process without an answer is named, and escape codes are removed", () => {
  const answer = {
    configs: [{ node_id: "a\u001b[2J", kind: "brain", file: null, changed: [], values: {} }, 7],
    nodes: { answered: ["a"], silent: ["edge-2"] },
  };
  const text = reloadedText(answer);
  assert.match(text, /no file\n/);
  assert.match(text, /\nedge-2 does not answer\n$/);
  assert.ok(!text.includes("\u001b"));
  assert.equal(reloadedExit(answer), 1);
  assert.equal(reloadedExit({ ...answer, nodes: { silent: [] } }), 0);
  assert.equal(configText({}), "");
});

// `arq mirror` against a real bus. What needs no bus is in `command_lines_test.ts`.

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";

async function arq(bus: TestBus, ...args: string[]) {
  return await runArq([...args, "--url", bus.url]);
}

async function mirror(bus: TestBus, ...args: string[]): Promise<string> {
  return succeeds(await arq(bus, "mirror", ...args));
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
  assert.match(sound.stderr, /readable; nothing was reset.*409 settings-conflict/);
}

const VEHICLE = `syntax = "proto3"; package fleet.v1; message Vehicle { string id = 1; }`;

/** A schema that only observes would have refused what production admitted. */
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

Deno.test("arq mirror on a running bus", async (t) => {
  const bus = await running();
  await t.step("rules are set, replaced and listed by tenant", () => rules(bus));
  await t.step("explain prints which rule applies and which are overruled", () => explain(bus));
  await t.step("a removed rule counts no longer", () => remove(bus));
  await t.step("diff shows what an observing schema would have refused", () => diff(bus));
});

Deno.test("arq status --path prints the order of refusals, and needs no bus", async () => {
  const stdout = succeeds(await runArq(["status", "--path"]));
  const gates = stdout.trimEnd().split("\n").map((line) => line.split(/ {2,}/)[0]);
  assert.deepEqual(gates.slice(3, 7), ["token", "room", "tenant", "grant"]);
});
