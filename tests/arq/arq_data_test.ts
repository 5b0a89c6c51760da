/** `arq user`, `arq tenant` and `arq room erase` against a real bus: listing, exporting and erasing. */
import assert from "node:assert/strict";
import { userExport } from "../../arq/commands/data/data.ts";
import { diskIo, folderWith } from "../../arq/testing/disk_io.ts";
import { runArq } from "../../arq/testing/run_arq.ts";
import { startBusWith, type TestBus } from "../harness/bus.ts";
import { DurableClient, numbers } from "../peers/durable_client.ts";
import { durableRooms } from "../../shared/testing/room_classes.ts";

const CONFIG = `[admin]
operator_tenants = ["ops"]
backup_days = 30
${durableRooms("*")}
`;

async function clientOf(bus: TestBus, user: string): Promise<DurableClient> {
  return await DurableClient.open(bus.url, await bus.tokenFor({ tenant: "acme", user }));
}

Deno.test("arq finds, exports and erases stored data of users, rooms and tenants", async () => {
  await using bus = await startBusWith(CONFIG);
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
