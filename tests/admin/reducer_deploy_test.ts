/**
 * A module is deployed to a class of rooms of a running bus, by its admin API and by `arq`, while it is called; a room
 * whose reducer keeps failing is reported by both.
 */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import { reduced } from "@arqon/sdk/reducers";
import { variantOf } from "../../brain/reducers/testing/variants.ts";
import { reducerBuild } from "../../arq/commands/policy/policy_build.ts";
import { diskIo, folderWith } from "../../arq/testing/disk_io.ts";
import { runArq, succeeds } from "../../arq/testing/run_arq.ts";
import { withRoomSchema } from "../../wasm/reducer/schema/room_schema.ts";
import { found } from "../../shared/testing/until.ts";
import { startLocalBus, type TestBus } from "../harness/local_bus.ts";
import { AdminClient } from "../peers/admin_client.ts";
import { reducedRooms, reducerFile } from "../../shared/testing/reducers.ts";
import { moduleOf } from "../../brain/reducers/testing/guest_text.ts";
import { sha256Hex } from "../../shared/sha256.ts";
import { durableRooms } from "../../shared/testing/room_classes.ts";

const CONFIG = `
[server]
drain_ms = 0
[admin]
operator_tenants = ["ops"]
[limits]
#constant limits.command_timeout_ms = 60_000
#constant limits.reducer_modules = 2
${reducedRooms("count-*", "counter")}
`;
const bytesOf = (name: string) => Deno.readFile(reducerFile(name));
const path = "/v1/tenants/default/reducers/count-*";

const callerAt = async (bus: TestBus) =>
  await connect({ url: bus.url, token: await bus.tokenFor(), request_timeout_ms: 60_000 });

/** The hands of a bus's admin: its API, and `arq` for rooms. */
async function handsOf(bus: TestBus) {
  const token = await bus.tokenFor({ role: "admin", user: "root" });
  const own = ["--admin-url", bus.admin_url, "--token", token];
  const arq = (...args: string[]) => runArq(["room", ...args, ...own]);
  return { token, admin: clientOf(bus.admin_url, token), arq };
}

function clientOf(url: string, token: string, tenant_path = path) {
  const admin = new AdminClient(url, token);
  const put = (module: Uint8Array, query = "", type = "application/wasm") =>
    admin.ask("PUT", `${tenant_path}${query}`, module, { "content-type": type });
  const ask = (method: string, more = "", at = tenant_path) => admin.ask(method, `${at}${more}`);
  return { put, ask };
}

Deno.test("a module is deployed by admins of the tenant, once, and is in force in rooms that are called", async () => {
  await using bus = await startLocalBus(CONFIG);
  const tokenOf = (tenant: string) => bus.tokenFor({ role: "admin", tenant, user: "root" });
  const admin = clientOf(bus.admin_url, await tokenOf("default"));
  const other = clientOf(bus.admin_url, await tokenOf("acme"));
  const names = ["counter_rust", "poll", "auction"];
  const [rust, poll, auction] = await Promise.all(names.map(bytesOf));
  assert.equal((await other.put(rust!)).status, 403);
  const empty = await admin.ask("GET");
  assert.deepEqual([empty.body.reducer.number, empty.body.reducer.current.module], [0, ""]);
  assert.equal(empty.body.reducer.limits.fuel_limit, 10_000);
  await using client = await callerAt(bus);
  const room = reduced<{ add: [number, number]; open: [number, null] }>(client.room("count-1"));
  assert.equal((await room.call("add", 2)).answer, 2);
  const { connection_id } = client.welcome;
  const deployed = await admin.put(rust!, "?number=0");
  assert.equal(deployed.status, 200, JSON.stringify(deployed.body));
  const { number, current, before } = deployed.body.reducer;
  assert.deepEqual([number, before.length, before[0].module], [1, 1, ""]);
  assert.match(current.by, /root/);
  // A caller that has seen only the previous deployment is refused.
  const late = await admin.put(poll!, "?number=0");
  assert.equal(late.status, 409);
  assert.match(late.body.detail, /count-\* is at deploy 1, not 0/);
  assert.equal((await room.call("add", 2)).answer, 4);
  const [, second] = await Promise.all([admin.ask("POST", "/rollback?number=7"), admin.put(poll!)]);
  assert.equal(second.status, 200, JSON.stringify(second.body));
  const refused = await found("the poll", async () => {
    try {
      await room.call("add", 1);
    } catch (error) {
      return error as Error;
    }
  });
  assert.match(String(refused), /no command add/);
  const third = await admin.put(auction!);
  assert.equal(third.status, 409);
  const full = /has 2 modules stored, limits\.reducer_modules; unused modules are removed/;
  assert.match(third.body.detail, full);
  const back = await admin.ask("POST", "/rollback");
  assert.equal(back.body.reducer.current.module, current.module);
  await found("the counter", () => room.call("add", 1).catch(() => undefined));
  assert.equal((await admin.ask("POST", "/rollback")).body.reducer.current.module, "");
  const none = await admin.ask("POST", "/rollback");
  assert.match(none.body.detail, /count-\* has no deploy to roll back/);
  const all = await admin.ask("GET", "", "/v1/tenants/default/reducers");
  assert.deepEqual(all.body.reducers.map((one: { class: string }) => one.class), ["count-*"]);
  assert.equal(client.welcome.connection_id, connection_id, "none of it ends a connection");
});

Deno.test("a module that is not a reducer, and a class without one, are refused with what would be right", async () => {
  await using bus = await startLocalBus(CONFIG);
  const { token, admin } = await handsOf(bus);
  const nothing = clientOf(bus.admin_url, token, "/v1/tenants/default/reducers/lobby");
  const policy = new URL("../../policies/build/bad_words.wasm", import.meta.url);
  const rust = await bytesOf("counter_rust");
  const refusals = [
    [admin.put(await Deno.readFile(policy)), 400, /refused \(not-a-reducer\): .*"arqon_host_v1"/],
    [admin.put(new Uint8Array([0])), 400, /the module is refused \(/],
    [admin.put(rust, "", "text/plain"), 415, /application\/wasm/],
    [admin.put(rust, "?number=x"), 400, /number: expected a whole number/],
    [nothing.put(rust), 404, /no class of rooms "lobby" with a reducer; it has "count-\*"/],
    [nothing.ask("GET"), 404, /"lobby"/],
  ] as const;
  for (const [asked, status, detail] of refusals) {
    const got = await asked;
    assert.match(got.body.detail ?? got.body.title, detail);
    assert.equal(got.status, status, JSON.stringify(got.body));
  }
  const { reducer } = (await admin.ask("GET")).body;
  assert.deepEqual([reducer.number, reducer.before], [0, []]);
});

/** Takes over the counter's room: it renames the total to sum, and counts no more. */
const SUM = `import { Command, migrate, on, read, reject, remove, write } from "@arqon/reducer";
migrate(() => {
  const total = read("total");
  if (total === null) reject("nothing was counted");
  else write("sum", total);
  remove("total");
});
on("add", (c: Command) => c.answer(read("sum") as string));
`;

Deno.test("arq deploys a module after showing the differences, and rolls it back", async () => {
  await using folder = await folderWith({ "sum.ts": SUM });
  assert.notEqual(await reducerBuild(diskIo(folder.path), "sum.ts", {}), 1);
  await using bus = await startLocalBus(CONFIG);
  const { arq } = await handsOf(bus);
  await using client = await callerAt(bus);
  const room = reduced<{ add: [number, number]; reset: [undefined, null] }>(client.room("count-1"));
  for (const at of [1, 2, 3]) await room.call("add", at);
  await assert.rejects(room.call("reset"), { reason: "call-rejected" });
  const same = await arq("deploy", "count-*", reducerFile("counter_rust"), "--dry-run");
  assert.equal(same.stdout, "count-1: 4 entries, the same\n1 room, 4 entries, 0 differences\n");
  assert.equal(same.code, 0, same.stderr);
  const poll = await arq("deploy", "count-*", reducerFile("poll"), "--yes");
  assert.equal(poll.code, 6, poll.stderr);
  assert.match(
    poll.stdout,
    /^count-1: 4 of 4 entries DIFFER, first entry 1 in verdict, .*: add was applied, would be rejected 404 no command add/,
  );
  assert.match(poll.stderr, /nothing was deployed/);
  const none = await arq("deploy", "count-*", reducerFile("counter_rust"));
  assert.deepEqual([none.code, /confirm with --yes/.test(none.stderr)], [2, true], none.stderr);
  const rust = await arq("deploy", "count-*", reducerFile("counter_rust"), "--yes");
  assert.match(rust.stdout, /count-\* +counter +1 +[0-9a-f]{16} +20\S+Z +.*root/, rust.stderr);
  assert.equal((await room.call("add", 4)).answer, 10);
  const sum = `${folder.path}/sum.wasm`;
  const second = reduced<{ reset: [undefined, null] }>(client.room("count-2"));
  await assert.rejects(second.call("reset"), { reason: "call-rejected" });
  const lacking = await arq("deploy", "count-*", sum, "--dry-run");
  const cannot = /count-2: it cannot migrate the room: rejected 409 nothing was coun/;
  assert.match(lacking.stdout, cannot);
  assert.equal(lacking.code, 6, lacking.stderr);
  const moved = await arq("deploy", "count-*", sum, "--no-check", "--yes", "--json");
  assert.equal(JSON.parse(moved.stdout).reducer.number, 2, moved.stderr);
  await found("the sum", async () => {
    const { answer, entry } = await room.call("add", 0);
    return answer === 10 && entry > 6 ? answer : undefined;
  });
  succeeds(await arq("verify", "count-1"));
  const held = await found("the room that cannot be migrated", async () => {
    const { stdout } = await arq("programs", "--rooms");
    return stdout.includes("refused") ? stdout : undefined;
  });
  assert.match(held, /^count-2 \(count-\*\): [0-9a-f]{16}, the migration was refused/m);
  assert.ok(!held.includes("count-1"), held);
  const back = await arq("rollback", "count-*");
  assert.match(back.stdout, /count-\* +counter +3 +[0-9a-f]{16}/, back.stderr);
  const programs = await arq("programs");
  assert.equal(programs.stdout, back.stdout);
  // The log of a room stays where a longer class has no reducer.
  succeeds(await arq("class", "set", "count-2*", "--durable", "--allow-unreachable"));
  const left = await arq("deploy", "count-*", reducerFile("counter_rust"), "--dry-run");
  assert.match(left.stdout, /\n1 room, /, left.stderr);
  assert.equal((await arq("programs", "--rooms")).code, 0);
  const lobby = await arq("rollback", "lobby");
  assert.match(lobby.stderr, /no class of rooms "lobby" with a reducer/);
});

/** The counter, which now accepts only whole numbers from 1 to 10. */
const STRICT = { commands: { add: { data: { type: "integer", minimum: 1, maximum: 10 } } } };

Deno.test("arq shows which earlier calls a module's schema forbids, and where in their data", async () => {
  const schema = new TextEncoder().encode(JSON.stringify(STRICT));
  const strict = withRoomSchema(await bytesOf("counter"), schema);
  await using folder = await folderWith({});
  await Deno.writeFile(`${folder.path}/strict.wasm`, strict);
  await using bus = await startLocalBus(CONFIG);
  const { arq } = await handsOf(bus);
  const deploy = (...args: string[]) =>
    arq("deploy", "count-*", `${folder.path}/strict.wasm`, ...args);
  await using client = await callerAt(bus);
  type Calls = { add: [number | string, number]; reset: [undefined, null] };
  const [one, two] = ["count-1", "count-2"].map((id) => reduced<Calls>(client.room(id)));
  for (const data of [2, 3]) await two!.call("add", data);
  for (const data of [2, 50, 60, "7"]) await one!.call("add", data);
  // It was refused then, too.
  await assert.rejects(one!.call("reset"), { reason: "call-rejected" });
  const checked = await deploy("--dry-run");
  assert.equal(checked.code, 6, checked.stderr);
  assert.equal(
    checked.stdout,
    `count-1: 2 of 5 entries are calls that its schema FORBIDS, and 1 of 5 entries DIFFER, \
first entry 4 in answer, events, values: add was applied, would be applied
  entry 2: add was applied, would be refused 400 data: expected at most 10, found 50
  entry 3: add was applied, would be refused 400 data: expected at most 10, found 60
count-2: 2 entries, the same
2 rooms, 7 entries, 3 differences
`,
  );
  const output = succeeds(await deploy("--dry-run", "--json", "--max-differences", "3"));
  const [room] = output.split("\n").map((line) => JSON.parse(line || "null"));
  assert.deepEqual([room.room, room.forbidden], ["count-1", 2]);
  const reason = "data: expected at most 10, found 50";
  const first = { command: "add", code: 400, entries: 1, first: 2, reason };
  assert.deepEqual(room.forbidden_calls[0], first);
  // The bus behaves as the command says.
  assert.equal((await deploy("--yes", "--max-differences", "3")).code, 0);
  await found("forbidden", async () => {
    const pending = two!.call("add", 50);
    return await pending.then(() => undefined, (error) => {
      assert.match(String(error), /data: expected at most 10, found 50/);
      return true;
    });
  });
});

Deno.test("a class is deployed to more often than it may store modules, and its rooms can be verified", async () => {
  const config = CONFIG.replace("reducer_modules = 2", "reducer_modules = 20");
  const unused = "\n[brain]\n#constant brain.reducer_unused_ms = 1\n";
  await using bus = await startLocalBus(config + unused);
  const { admin, arq } = await handsOf(bus);
  await using client = await callerAt(bus);
  type Calls = { add: [number, number]; ask: [string, unknown] };
  const room = (id: string) => reduced<Calls>(client.room(id));
  const [counter, poll] = await Promise.all([bytesOf("counter"), bytesOf("poll")]);
  // This room is never trimmed: its log names the first module until the end.
  const kept = room("count-kept");
  let first = "";
  for (let number = 0; number < 25; number++) {
    const deployed = await found("deployed", async () => {
      const { status, body } = await admin.put(number === 0 ? poll : variantOf(counter, number));
      if (status === 200) return body.reducer;
      // The limit of stored modules is reached, or it was asked too often in a second.
      assert.ok(status === 409 || status === 429, JSON.stringify(body));
      return undefined;
    });
    assert.equal(deployed.number, number + 1);
    assert.ok(deployed.modules.length <= 20, deployed.modules.length);
    if (number === 0) {
      first = deployed.current.module;
      const ask = () => kept.call("ask", "60\nWhat now?\nPizza\nSoup").catch(() => undefined);
      await found("named by the log", ask);
      continue;
    }
    await found("answered", () => room("count-1").call("add", 1).catch(() => undefined));
    assert.equal((await arq("trim", "count-1", "--yes")).code, 0);
  }
  const { body } = await admin.ask("GET");
  assert.ok(body.reducer.modules.includes(first), "the log of a room names it");
  for (const id of ["count-kept", "count-1"]) succeeds(await arq("verify", id));
  const programs = await arq("programs");
  assert.match(programs.stdout, /before +stored\ncount-\* .* 16 +(18|19|20)\n/);
});

/** A command of the room itself fails; any other sets ten of them. */
const TRAPS = moduleOf({
  apply: `(local $at i32)
    (if (i32.lt_u (i32.load8_u (i32.add (call $room_field (i32.const 0)) (i32.const 4)))
      (i32.const 64)) (then unreachable))
    (loop $more
      (i32.store8 (i32.const 100) (i32.add (i32.const 33) (local.get $at)))
      (call $room_schedule (i32.const 100) (i32.const 1)
        (i64.add (call $room_now) (i64.const 10)) (i32.const 100) (i32.const 1)
        (i32.const 0) (i32.const 0))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $more (i32.lt_u (local.get $at) (i32.const 10))))
    (i32.const 0)`,
});

const configWith = (file: string) => `
[server]
drain_ms = 0
[limits]
#constant limits.command_timeout_ms = 60_000
[[reducers]]
name = "traps"
file = "${file}"
${durableRooms("trap-*", 'reducer = "traps"')}
`;

Deno.test("a room that is cut off is named by arq room programs, with its module and last fault", async () => {
  const file = await Deno.makeTempFile({ suffix: ".wasm" });
  await Deno.writeFile(file, TRAPS);
  await using bus = await startLocalBus(configWith(file)).finally(() => Deno.remove(file));
  const { token, arq } = await handsOf(bus);
  const none = await arq("programs", "--json");
  assert.deepEqual(JSON.parse(none.stdout).cut_off, [], none.stderr);
  await using client = await callerAt(bus);
  await reduced<{ go: [null, null] }>(client.room("trap-1")).call("go", null);
  const path = "/v1/tenants/default/rooms/cut-off";
  const headers = { authorization: `Bearer ${token}` };
  const [{ since_ms, until_ms, fault, ...room }] = await found("it is cut off", async () => {
    const { rooms, total } = await (await fetch(`${bus.admin_url}${path}`, { headers })).json();
    return total === 1 ? rooms : undefined;
  });
  assert.deepEqual([room.room_id, room.module], ["trap-1", await sha256Hex(TRAPS)]);
  assert.equal(fault.reason, "reducer-trap");
  assert.ok(fault.entry >= 6 && since_ms < until_ms, JSON.stringify({ fault, since_ms, until_ms }));
  const { stdout, stderr } = await arq("programs");
  const line = /^trap-1 +[0-9a-f]{16} +20\S+Z +20\S+Z +entry \d+: reducer-trap .*unreachable/m;
  assert.match(stdout, line, stderr);
  assert.match(stdout, /^room +module +cut off since +until +last fault$/m);
});
