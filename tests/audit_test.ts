/**
 * The audit log over the admin API of real processes: its content, its authorization, the one chain of all Shields, and
 * failures to write. A check in Python compares the form of entries with docs/security.md; `shared/audit/chain_test.ts`
 * has the breaks one by one.
 */
import assert from "node:assert/strict";
import { atEnd } from "../shared/testing/at_end.ts";
import { until } from "../shared/testing/until.ts";
import { run } from "../tasks/checkout/programs.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { createIssuer, type Issuer, type ServerProcess, startServer } from "./harness/cluster.ts";
import { documentedAccounts } from "./harness/documented_accounts.ts";
import { startNats } from "./harness/nats_server.ts";

const OPERATORS = '[admin]\noperator_tenants = ["ops"]\n';
const CLASS = { room: "x-*", durable: true };

interface Entry {
  readonly seq: number;
  readonly action: string;
  readonly outcome: string;
  readonly tenant: string | null;
  readonly by: string | null;
  readonly from: string;
  readonly reason: string | null;
  readonly [member: string]: unknown;
}

async function adminOf(bus: TestBus, tenant: string): Promise<AdminClient> {
  const token = await bus.tokenFor({ role: "admin", tenant, user: `${tenant}-admin` });
  return new AdminClient(bus.admin_url, token);
}

async function entriesOf(client: AdminClient, query = ""): Promise<Entry[]> {
  return (await client.read(`/v1/audit?limit=1000${query}`)).entries;
}

const short = ({ outcome, action, tenant, by, reason }: Entry) =>
  [outcome, action, tenant, by, reason ?? ""].join(" ").trim();

/** The output of the check in Python for lines. */
async function pythonCheck(stdin: string) {
  const { code, stdout } =
    (await run("python3", ["tests/verification/audit_chain.py"], { stdin }))!;
  return { code, found: JSON.parse(stdout) };
}

Deno.test("who changed which tenant, from where and with what outcome", async () => {
  await using bus = await startLocalBus(OPERATORS);
  const [operator, acme, evil] = await Promise.all(
    ["ops", "acme", "evil"].map((tenant) => adminOf(bus, tenant)),
  );
  assert.equal((await acme!.ask("PUT", "/v1/tenants/acme/rooms", CLASS)).status, 200);
  assert.equal((await evil!.ask("PUT", "/v1/tenants/acme/rooms", CLASS)).status, 403);
  assert.equal((await evil!.ask("GET", "/v1/tenants/acme/rooms")).status, 403);
  assert.equal((await acme!.ask("PUT", "/v1/tenants/acme/rooms", { room: "" })).status, 400);
  const lift = "/v1/bans?tenant=acme&user=u1";
  assert.equal((await operator!.ask("DELETE", lift)).status, 200);
  assert.equal((await operator!.get("/v1/cluster")).status, 200);
  const all = await entriesOf(operator!);
  assert.deepEqual(all.map(short), [
    "done ban.lift acme ops-admin",
    "refused room_class.set acme acme-admin invalid-settings",
    "refused read acme evil-admin tenant-mismatch",
    "refused room_class.set acme evil-admin tenant-mismatch",
    "done room_class.set acme acme-admin",
  ]);
  const [lifted, , , , set] = all;
  assert.equal(lifted?.from, "127.0.0.1");
  assert.deepEqual([lifted?.operator, lifted?.status, lifted?.method], [true, 200, "DELETE"]);
  assert.equal(lifted?.path, lift);
  assert.deepEqual(set?.about, { room: "x-*", durable: true });
  assert.ok(Math.abs(Date.now() - Number(set?.at_ms)) < 60_000);
  // The tenant's own entries, and what operators did to it, without their address; nothing about other tenants'
  // attempts.
  assert.deepEqual((await entriesOf(acme!)).map(short), [
    "done ban.lift acme ops-admin",
    "refused room_class.set acme acme-admin invalid-settings",
    "done room_class.set acme acme-admin",
  ]);
  assert.equal((await entriesOf(acme!))[0]?.from, "");
  assert.deepEqual((await entriesOf(evil!)).map(({ by }) => by), ["evil-admin", "evil-admin"]);
  assert.equal((await evil!.get("/v1/audit?tenant=acme")).body.reason, "tenant-mismatch");
  assert.equal((await acme!.get("/v1/audit/entries")).body.reason, "role-forbidden");
});

Deno.test("filters, pages and the next page", async () => {
  await using bus = await startLocalBus(OPERATORS);
  const operator = await adminOf(bus, "ops");
  const acme = await adminOf(bus, "acme");
  for (let at = 0; at < 12; at++) {
    const body = { room: `r${at}-*`, durable: true };
    assert.equal((await acme.ask("PUT", "/v1/tenants/acme/rooms", body)).status, 200);
  }
  await operator.ask("DELETE", "/v1/bans?tenant=acme&user=u1");
  assert.equal((await entriesOf(operator, "&action=ban")).length, 1);
  assert.equal((await entriesOf(operator, "&action=ban.lift&outcome=done")).length, 1);
  assert.equal((await entriesOf(operator, "&actor=acme-admin")).length, 12);
  assert.equal((await entriesOf(operator, "&tenant=beta")).length, 0);
  assert.equal((await entriesOf(operator, `&since_ms=${Date.now() + 120_000}`)).length, 0);
  assert.equal((await entriesOf(operator, `&until_ms=${Date.now() - 3_600_000}`)).length, 0);
  const seen: number[] = [];
  for (let before = "";;) {
    const page = await operator.read(`/v1/audit?limit=5${before}`);
    seen.push(...page.entries.map(({ seq }: Entry) => seq));
    if (page.next === null) break;
    before = `&before=${page.next}`;
  }
  // Two entries per change; starts are left out, also where a page ends between the two.
  assert.deepEqual(seen, Array.from({ length: 13 }, (_, at) => 26 - 2 * at));
  const { entries, next } = await operator.read("/v1/audit?after=20");
  assert.deepEqual(entries.map(({ seq }: Entry) => seq), [22, 24, 26]);
  assert.equal(next, 26);
  assert.deepEqual((await operator.read(`/v1/audit?after=${next}`)).entries, []);
  const wrong = [
    "colour=red",
    "limit=0",
    "action=*",
    "outcome=fine",
    "after=1&before=2",
    "after=27",
    "since_ms=x",
  ];
  for (const query of wrong) {
    const { status, body } = await operator.get(`/v1/audit?${query}`);
    assert.deepEqual([status, body.reason], [400, "invalid-settings"], query);
  }
});

Deno.test("an entry by a wrong clock hides no others from a search by time", async () => {
  let off_ms = 0;
  await using bus = await startLocalBus(OPERATORS, { now: () => Date.now() + off_ms });
  const operator = await adminOf(bus, "ops");
  for (const [room, at_ms] of [["a", 0], ["b", -7_200_000], ["c", 0]] as const) {
    off_ms = at_ms;
    const body = { room, durable: true };
    assert.equal((await operator.ask("PUT", "/v1/tenants/acme/rooms", body)).status, 200);
  }
  const found = await entriesOf(operator, `&since_ms=${Date.now() - 600_000}`);
  assert.deepEqual(found.map(({ about }) => (about as { room: string }).room), ["c", "a"]);
});

Deno.test("unauthenticated requests are counted, not written one by one", async () => {
  await using bus = await startLocalBus("");
  const admin = await adminOf(bus, "default");
  const stranger = new AdminClient(bus.admin_url, "no.token.atall");
  const user = new AdminClient(bus.admin_url, await bus.tokenFor({ user: "u1" }));
  for (let at = 0; at < 20; at++) assert.equal((await stranger.get("/v1/status")).status, 401);
  for (let at = 0; at < 20; at++) assert.equal((await user.get("/v1/status")).status, 403);
  const entries = await admin.until(
    "/v1/audit",
    "both kinds",
    ({ body }) => body.entries.length === 2 ? body.entries as Entry[] : undefined,
  );
  assert.deepEqual(entries.map(short).sort(), [
    "refused access   token-malformed",
    "refused access  u1 role-forbidden",
  ]);
});

Deno.test("rate-limited: a caller may send as many requests as allowed, others continue", async () => {
  await using bus = await startLocalBus(
    "#constant limits.admin_requests_per_second = 10\n#constant limits.admin_changes_per_second = 1\n",
  );
  const greedy = await adminOf(bus, "acme");
  const other = await adminOf(bus, "beta");
  const answers = await Promise.all(
    Array.from({ length: 60 }, () => greedy.get("/v1/access")),
  );
  const refused = answers.filter(({ status }) => status === 429);
  assert.ok(refused.length >= 20, `${refused.length} of 60 were refused`);
  const [first] = refused;
  assert.equal(first?.body.reason, "rate-limited");
  assert.match(first?.headers.get("retry-after") ?? "", /^[1-9][0-9]*$/);
  assert.match(first?.body.detail, /limits\.admin_requests_per_second/);
  assert.equal((await other.get("/v1/access")).status, 200);
  let changes = 0;
  for (; changes < 20; changes++) {
    const { status, body } = await other.ask("DELETE", "/v1/bans?tenant=beta&user=u1");
    if (status === 429 && /admin_changes_per_second/.test(body.detail)) break;
  }
  assert.ok(changes >= 10 && changes < 20, `${changes} changes in a burst of 10`);
});

/** Shields on one NATS server with the documented accounts. */
async function shieldsOn(
  nats: { readonly port: number },
  issuer: Issuer,
  names: readonly string[],
  more = "",
): Promise<{ shields: ServerProcess[]; clients: AdminClient[] }> {
  const urls = `[nats]\nurls = ["nats://shield:secret@127.0.0.1:${nats.port}"]\n`;
  const shields = await Promise.all(
    names.map((name) =>
      startServer("shield", `${urls}${issuer.config}${more}`, issuer.dir, `node_id = "${name}"`)
    ),
  );
  const token = await issuer.tokenFor({ role: "admin", sub: "root" });
  const clients = shields.map(({ ready }) => new AdminClient(ready.admin_url ?? "", token));
  return { shields, clients };
}

const stopAll = (shields: readonly ServerProcess[]) =>
  Promise.all(shields.map((shield) => shield.stop()));

Deno.test("several Shields write one chain on NATS, which a check in Python follows", async () => {
  await using nats = await startNats({ jetstream: true, config: await documentedAccounts() });
  await using issuer = await createIssuer();
  const { shields, clients } = await shieldsOn(nats, issuer, ["one", "two", "three"]);
  await using _end = atEnd(() => stopAll(shields));
  const changes = clients.flatMap((client, at) =>
    Array.from({ length: 10 }, async (_, count) => {
      const body = { room: `r${at}${count}-*`, durable: true };
      const { status, body: answer } = await client.ask("PUT", "/v1/tenants/acme/rooms", body);
      assert.equal(status, 200, JSON.stringify(answer));
    })
  );
  await Promise.all(changes);
  const { text } = await clients[0]!.get("/v1/audit/entries?limit=1000");
  const lines = text.trimEnd().split("\n");
  assert.equal(lines.length, 60);
  const writers = new Set(lines.map((line) => JSON.parse(line).node));
  assert.deepEqual([...writers].sort(), ["one", "three", "two"]);
  const { code, found } = await pythonCheck(text);
  assert.deepEqual([code, found.broken, found.entries], [0, null, 60]);
  const changed = lines.with(20, lines[20]!.replace('"root"', '"boot"')).join("\n");
  assert.deepEqual(await pythonCheck(`${changed}\n`), {
    code: 1,
    found: { entries: 22 - 1, broken: 21 },
  });
  const shorter = lines.toSpliced(30, 1).join("\n");
  assert.equal((await pythonCheck(shorter)).found.broken, 31);
  // The newest entry refers to the previous one, so the processes' logs and the chain agree.
  const last = (await clients[1]!.read("/v1/audit?limit=1")).entries[0];
  assert.equal(`${last.seq}:${last.hash}`, found.head);
  assert.ok(shields.some((shield) => shield.log().includes(`hash=${last.hash}`)));
});

Deno.test("audit-unavailable: changes that cannot be recorded are refused, unless allowed", async () => {
  const accounts = (await documentedAccounts()).replace(', "audit.t.bus.audit"', "");
  await using nats = await startNats({ jetstream: true, config: accounts });
  await using issuer = await createIssuer();
  const { shields, clients } = await shieldsOn(nats, issuer, ["strict"]);
  const open = await shieldsOn(nats, issuer, ["open"], '[audit]\non_failure = "allow"\n');
  await using _end = atEnd(() => stopAll([...shields, ...open.shields]));
  const [strict] = clients;
  const path = "/v1/tenants/acme/rooms";
  const { status, body, headers } = await strict!.ask("PUT", path, CLASS);
  assert.deepEqual([status, body.reason], [503, "audit-unavailable"]);
  assert.equal(headers.get("retry-after"), "1");
  assert.equal((await strict!.read(path)).version, 0, "nothing was changed");
  assert.equal((await strict!.get("/v1/cluster")).status, 200, "readings go on");
  assert.equal((await open.clients[0]!.ask("PUT", path, CLASS)).status, 200);
  assert.equal((await strict!.read(path)).version, 1);
  // The change is answered before the attempt to write it is abandoned.
  const log = () => open.shields[0]!.log();
  await until(log, () => log().includes("the audit log cannot be written"));
});
