/** `arq journal` against a real bus: listing, exporting into a file, following and erasing. */
import assert from "node:assert/strict";
import { runArq, startArq, succeeds } from "../../arq/testing/run_arq.ts";
import { type JournalRecord, parseLine } from "../../shared/journal/record.ts";
import { temporaryFolder } from "../../shared/testing/temporary_folder.ts";
import { until } from "../../shared/testing/until.ts";
import { StreamedCommand } from "../../tasks/checkout/streamed_command.ts";
import { startBusWith, type TestBus } from "../harness/bus.ts";
import { ask, openText } from "../peers/raw_client.ts";
import { durableRooms } from "../../shared/testing/room_classes.ts";

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
  await using bus = await startBusWith(CONFIG);
  const [ops, globex] = [await flagsOf(bus, "ops"), await flagsOf(bus, "globex")];
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
  await using bus = await startBusWith(CONFIG);
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
