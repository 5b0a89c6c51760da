/**
 * `arq audit`, `arq journal`, and `arq user`, `tenant` and `room erase` against a real bus: listing, following,
 * exporting, erasing, and reports of a broken chain.
 */
import assert from "node:assert/strict";
import { userExport } from "../../arq/commands/data/data.ts";
import { diskIo, folderWith } from "../../arq/testing/disk_io.ts";
import { runArq, startArq, succeeds } from "../../arq/testing/run_arq.ts";
import { StreamedCommand } from "../../tasks/checkout/streamed_command.ts";
import { AdminClient } from "../peers/admin_client.ts";
import { startLocalBus, type TestBus } from "../harness/local_bus.ts";
import { type JournalRecord, parseLine } from "../../shared/journal/record.ts";
import { temporaryFolder } from "../../shared/testing/temporary_folder.ts";
import { until } from "../../shared/testing/until.ts";
import { ask, openText } from "../peers/raw_client.ts";
import { durableRooms } from "../../shared/testing/room_classes.ts";
import { DurableClient, numbers } from "../peers/durable_client.ts";

const OPERATORS = '[admin]\noperator_tenants = ["ops"]\n';

interface Session {
  readonly admin: AdminClient;
  readonly flags: string[];
}

async function sessionOf(bus: TestBus, tenant: string): Promise<Session> {
  const token = await bus.tokenFor({ role: "admin", tenant, user: `${tenant}-admin` });
  const flags = ["--admin-url", bus.admin_url, "--token", token];
  return { admin: new AdminClient(bus.admin_url, token), flags };
}

async function change({ admin }: Session, tenant: string, room: string): Promise<number> {
  const path = `/v1/tenants/${tenant}/rooms`;
  return (await admin.ask("PUT", path, { room, durable: true })).status;
}

Deno.test("arq audit shows, filters and follows; verify checks the chain and its anchor", async () => {
  await using bus = await startLocalBus(OPERATORS);
  const ops = await sessionOf(bus, "ops");
  const acme = await sessionOf(bus, "acme");
  assert.equal(
    (await runArq(["audit", "verify", ...ops.flags])).stdout,
    "the audit log is empty\n",
  );
  for (const room of ["a-*", "b-*", "c-*"]) assert.equal(await change(acme, "acme", room), 200);
  assert.equal(await change(acme, "beta", "d-*"), 403);
  const all = await runArq(["audit", ...ops.flags]);
  assert.equal(all.code, 0, all.stderr);
  const lines = all.stdout.trimEnd().split("\n");
  assert.equal(lines.length, 4);
  const [at = "", ...rest] = lines[0]!.split("  ");
  assert.ok(Math.abs(Date.parse(at) - Date.now()) < 60_000, at);
  assert.deepEqual(rest, [
    "#2",
    "done",
    "room_class.set",
    "tenant=acme",
    "by=acme-admin@acme",
    "from=127.0.0.1",
    "/v1/tenants/acme/rooms room=a-* durable=true",
  ]);
  assert.match(lines[3]!, /refused \(tenant-mismatch\) {2}room_class\.set {2}tenant=beta/);
  assert.equal(all.stderr, "4 entries\n");
  const refused = await runArq(["audit", "list", "--outcome", "refused", "--json", ...acme.flags]);
  assert.equal(JSON.parse(refused.stdout).tenant, "beta");
  const some = await runArq(["audit", "--limit", "2", "--since", "1h", ...ops.flags]);
  assert.equal(some.stdout.trimEnd().split("\n").length, 2);
  assert.equal(some.stderr, "2 entries; --limit shows more\n");
  const verified = succeeds(await runArq(["audit", "verify", ...ops.flags]));
  const [, anchor = ""] = /^7 entries, one chain\nanchor: (7:[0-9a-f]{64})\n$/.exec(verified) ??
    [];
  assert.notEqual(anchor, "", verified);
  assert.equal(await change(acme, "acme", "e-*"), 200);
  succeeds(await runArq(["audit", "verify", "--anchor", anchor, ...ops.flags]));
  const other = `7:${"0".repeat(64)}`;
  const wrong = await runArq(["audit", "verify", "--anchor", other, "--json", ...ops.flags]);
  assert.deepEqual([wrong.code, JSON.parse(wrong.stdout).broken.seq], [1, 7]);
  assert.equal((await runArq(["audit", "verify", ...acme.flags])).code, 3, "for operators");
  assert.equal((await runArq(["audit", "verify", "--anchor", "7"])).code, 2);
});

Deno.test("arq audit verify reads a file, and names the first entry that was changed", async () => {
  await using bus = await startLocalBus(OPERATORS);
  const ops = await sessionOf(bus, "ops");
  const acme = await sessionOf(bus, "acme");
  for (let at = 0; at < 5; at++) assert.equal(await change(acme, "acme", `r${at}-*`), 200);
  const { text } = await ops.admin.get("/v1/audit/entries");
  const verify = (stdin: string) => runArq(["audit", "verify", "--file", "-"], { stdin });
  const whole = await verify(text);
  assert.match(whole.stdout, /^10 entries, one chain\n/);
  const lines = text.trimEnd().split("\n");
  const changed = await verify(
    lines.with(3, lines[3]!.replace("acme-admin", "someone")).join("\n"),
  );
  assert.equal(changed.code, 1);
  assert.match(
    changed.stderr,
    /the audit log is broken at entry 4: its bytes differ from the hash/,
  );
  const cut = await verify(lines.toSpliced(5, 2).join("\n"));
  assert.match(
    cut.stderr,
    /broken at entry 6: it is missing: the next entry is 8; whole up to entry 5/,
  );
});

Deno.test("arq audit --follow prints new entries", async () => {
  await using bus = await startLocalBus(OPERATORS);
  const ops = await sessionOf(bus, "ops");
  const acme = await sessionOf(bus, "acme");
  assert.equal(await change(acme, "acme", "old-*"), 200);
  const arq = await startArq(["audit", "--follow", "--json", "--limit", "1", ...ops.flags]);
  const followed = new StreamedCommand(arq.child, ["stdout"]);
  await followed.until("old-*");
  assert.equal(await change(acme, "acme", "new-*"), 200);
  await followed.until("new-*");
  assert.equal((await followed.stop("SIGINT")).code, 130);
});

const CONFIG = `[admin]
operator_tenants = ["ops"]
[journal]
journal = "all"
#constant journal.flush_ms = 50
${durableRooms("durable-*")}
`;

async function flagsOf(bus: TestBus, tenant: string): Promise<string[]> {
  const token = await bus.tokenFor({ role: "admin", tenant, user: `${tenant}-admin` });
  return ["--admin-url", bus.admin_url, "--token", token, "--tenant", "acme"];
}

/** Ann publishes a text in a room. */
async function say(bus: TestBus, room: string, text: string): Promise<void> {
  using client = await openText(bus.url, await bus.tokenFor({ tenant: "acme", user: "ann" }));
  await ask(client, { op: "pub", room, type: "chat", data: { text }, message_id: `m-${text}` });
}

/** The records of messages, once there are this many. */
async function messages(flags: readonly string[], count: number): Promise<JournalRecord[]> {
  let found: JournalRecord[] = [];
  await until("the decisions are stored", async () => {
    const stdout = succeeds(await runArq(["journal", "list", "--json", ...flags]));
    found = stdout.trimEnd().split("\n").filter((line) => line !== "").flatMap((line) => {
      const parsed = parseLine(line);
      assert.ok("line" in parsed, line);
      return "id" in parsed.line && parsed.line.hook === "on_message" ? [parsed.line] : [];
    });
    return found.length >= count;
  });
  return found;
}

Deno.test("arq journal shows, exports and erases; another tenant's admin is refused", async () => {
  await using bus = await startLocalBus(CONFIG);
  const ops = await flagsOf(bus, "ops");
  const globex = await flagsOf(bus, "globex");
  await say(bus, "lobby", "one");
  await say(bus, "durable-1", "two");
  const found = await messages(ops, 2);
  assert.deepEqual(found.map(({ room, payload }) => [room, payload.form]), [
    ["lobby", "kept"],
    ["durable-1", "reference"],
  ]);
  const shown = await runArq(["journal", "--room", "durable-1", "--since", "1h", ...ops]);
  assert.match(
    shown.stdout,
    /^\S+Z {2}allowed {2}on_message {2}durable-1 {2}chat {2}by ann\/\S+ {2}@1\n$/,
  );
  assert.equal(shown.stderr, "1 line\n");
  const none = await runArq(["journal", "--outcome", "fault", ...ops]);
  assert.deepEqual([none.stdout, none.stderr], ["", "0 lines\n"]);
  const cut = await runArq(["journal", "--limit", "1", ...ops]);
  assert.equal(cut.stderr, "1 line; --limit shows more\n");
  const latest = await runArq(["journal", "--newest", "--limit", "1", ...ops]);
  assert.equal(latest.stdout, shown.stdout);
  for (const command of [["list"], ["status"], ["export", "--out", "-"]]) {
    const refused = await runArq(["journal", ...command, ...globex]);
    assert.equal(refused.code, 3, refused.stderr);
    assert.equal(refused.stdout, "");
  }
  await using folder = await temporaryFolder();
  const out = `${folder.path}/all.ndjson`;
  const args = ["journal", "export", "--room", "durable-1", "--out", out, ...ops];
  const written = await runArq(args);
  assert.deepEqual([written.code, written.stderr], [0, `1 line written to ${out}\n`]);
  const [line = "", rest] = (await Deno.readTextFile(out)).split("\n");
  const { payload } = JSON.parse(line);
  assert.deepEqual([payload.form, atob(payload.data), rest], ["kept", '{"text":"two"}', ""]);
  assert.equal((await runArq(args)).code, 1, "no file is overwritten");
  // A refusal leaves no empty file, which would block the next attempt.
  const again = ["journal", "export", "--out", `${folder.path}/again.ndjson`];
  assert.equal((await runArq([...again, ...globex])).code, 3);
  assert.equal((await runArq([...again, ...ops])).code, 0);
  const status = await runArq(["journal", "status", ...ops]);
  assert.match(
    status.stdout,
    /^the journal of acme: \d+ blocks?, \d+ bytes, stored from \S+Z to \S+Z\n$/,
  );
  const unasked = await runArq(["journal", "erase", "--user", "ann", ...ops]);
  assert.deepEqual([unasked.code, (await messages(ops, 2))[0]?.sender?.user], [2, "ann"]);
  const erased = await runArq(["journal", "erase", "--user", "ann", "--yes", ...ops]);
  assert.equal(erased.stdout, "user ann is erased from the journal of acme\n", erased.stderr);
  assert.deepEqual((await messages(ops, 2)).map(({ sender }) => sender), [null, null]);
  await say(bus, "lobby", "three");
  const last = (await messages(ops, 3)).at(-1);
  assert.equal(last?.sender?.user, "ann", "a returning user begins anew");
});

Deno.test("arq journal --follow prints new entries, until Ctrl-C", async () => {
  await using bus = await startLocalBus(CONFIG);
  const flags = await flagsOf(bus, "acme");
  const arq = await startArq(["journal", "--follow", "--json", ...flags]);
  const followed = new StreamedCommand(arq.child, ["stdout"]);
  for (const word of ["one", "two"]) {
    await say(bus, "lobby", word);
    await followed.until(`m-${word}`);
  }
  assert.equal(followed.text.split("m-one").length, 2, "each once");
  assert.equal((await followed.stop("SIGINT")).code, 130);
});

const ARQ_DATA_CONFIG = `[admin]
operator_tenants = ["ops"]
backup_days = 30
${durableRooms("*")}
`;

async function clientOf(bus: TestBus, user: string): Promise<DurableClient> {
  return await DurableClient.open(bus.url, await bus.tokenFor({ tenant: "acme", user }));
}

Deno.test("arq finds, exports and erases stored data of users, rooms and tenants", async () => {
  await using bus = await startLocalBus(ARQ_DATA_CONFIG);
  const token = await bus.tokenFor({ role: "admin", tenant: "ops", user: "ops-admin" });
  const own = ["--admin-url", bus.admin_url, "--token", token];
  const of = [...own, "--tenant", "acme"];
  using ann = await clientOf(bus, "ann");
  using bob = await clientOf(bus, "bob");
  const [first = 0] = await ann.fill("one", numbers(0, 3));
  await bob.fill("one", numbers(0, 2));
  await bob.fill("two", numbers(0, 1));

  const dry = await runArq(["user", "erase", "bob", "--dry-run", ...of]);
  assert.match(dry.stdout, /messages: 3, \d+ bytes in LOG_acme/, dry.stderr);
  const until = (days: number) =>
    new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10);
  const days = `(${until(30)}|${until(29)})`;
  const kept = new RegExp(`^  backups: files of arq backup have it until ${days} `, "m");
  assert.match(dry.stdout, kept);
  const listed = await runArq(["user", "export", "bob", "--dry-run", ...of]);
  assert.match(listed.stdout, /messages: 3, .*not exported by this:\n/s, listed.stderr);
  assert.match(listed.stdout, kept);
  const unasked = await runArq(["user", "erase", "bob", ...of]);
  assert.equal(unasked.code, 2);
  assert.match(unasked.stderr, /messages: 3.*--yes/s);
  const lines = await runArq(["user", "export", "bob", "--out", "-", ...of]);
  const rows = lines.stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(rows.map(({ room }) => room), ["one", "one", "two", undefined], lines.stderr);
  const erased = await runArq(["user", "erase", "bob", "--yes", ...of]);
  assert.equal(erased.stdout, "messages: 3 erased\n", erased.stderr);

  const one = await runArq(["room", "erase", "one", "--offset", `${first}`, "--yes", ...of]);
  assert.equal(one.stdout, "messages: 1 erased\n", one.stderr);
  const tenant = await runArq(["tenant", "export", "acme", "--out", "-", ...own]);
  assert.match(tenant.stderr, /2 lines written/);
  const gone = await runArq(["tenant", "delete", "acme", "--yes", ...own]);
  assert.match(gone.stdout, /messages: 2 erased/, gone.stderr);
  const none = await runArq(["tenant", "delete", "acme", "--dry-run", ...own]);
  assert.match(none.stdout, /stores nothing of tenant acme/, none.stderr);
  const stranger = await bus.tokenFor({ role: "admin", tenant: "globex", user: "x" });
  const refused = await runArq(
    [
      "user",
      "erase",
      "ann",
      "--yes",
      "--admin-url",
      bus.admin_url,
      "--token",
      stranger,
      "--tenant",
      "acme",
    ],
  );
  assert.notEqual(refused.code, 0);
});

Deno.test("an export that is cut off leaves no file, so that it can be repeated", async () => {
  await using folder = await folderWith({});
  const cut = () => new Response('{"store":"messages"}\n');
  await using server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, cut);
  const adminUrl = `http://127.0.0.1:${server.addr.port}`;
  const flags = { adminUrl, token: "a.b.c", tenant: "acme", out: "ann.ndjson" };
  for (let times = 0; times < 2; times++) {
    await assert.rejects(userExport(diskIo(folder.path), "ann", flags), /cut off: retry/);
  }
});
