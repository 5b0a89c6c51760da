/** `arq audit` against a real bus: listing, following, and reports of a broken chain. */
import assert from "node:assert/strict";
import { runArq, startArq, succeeds } from "../../arq/testing/run_arq.ts";
import { StreamedCommand } from "../../tasks/checkout/streamed_command.ts";
import { AdminClient } from "../peers/admin_client.ts";
import { startBusWith, type TestBus } from "../harness/bus.ts";

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
  await using bus = await startBusWith(OPERATORS);
  const [ops, acme] = [await sessionOf(bus, "ops"), await sessionOf(bus, "acme")];
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
  await using bus = await startBusWith(OPERATORS);
  const [ops, acme] = [await sessionOf(bus, "ops"), await sessionOf(bus, "acme")];
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
  await using bus = await startBusWith(OPERATORS);
  const [ops, acme] = [await sessionOf(bus, "ops"), await sessionOf(bus, "acme")];
  assert.equal(await change(acme, "acme", "old-*"), 200);
  const arq = await startArq(["audit", "--follow", "--json", "--limit", "1", ...ops.flags]);
  const followed = new StreamedCommand(arq.child, ["stdout"]);
  await followed.until("old-*");
  assert.equal(await change(acme, "acme", "new-*"), 200);
  await followed.until("new-*");
  assert.equal((await followed.stop("SIGINT")).code, 130);
});
