/**
 * Promises of docs/security.md that need a whole bus: the admin API refuses requests without a token, secrets stay out
 * of logs and metrics, permissions are exact, and every line of the threat model has its test.
 */
import assert from "node:assert/strict";
import { configFrom } from "../shared/config/load.ts";
import { listedRoutes } from "../shield/description/admin_api.ts";
import { SHIELD_CAPABILITIES } from "../shield/capabilities.ts";
import { StreamedCommand } from "../tasks/checkout/streamed_command.ts";
import { startBus, startBusWith, type TestBus } from "./harness/bus.ts";
import { createIssuer } from "./harness/cluster.ts";
import { openText, RawClient } from "./peers/raw_client.ts";
import { HttpPeer } from "./peers/http_peer.ts";

const ROOT = new URL("..", import.meta.url).pathname.replace(/\/$/, "");

/** All routes of the admin API; a refused client is refused whatever it names. */
const ADMIN_ROUTES = listedRoutes(SHIELD_CAPABILITIES).map(({ method, template }) => ({
  method,
  path: template.replaceAll(/\{[a-z]+\}/g, "none"),
}));

/** Files that handle some of them; a path in one of them has to be in the tables. */
const ADMIN_FILES = [
  "shield/admin/admin.ts",
  "shield/admin/admin_status.ts",
  "shield/admin/inspect/capability.ts",
  "shield/admin/operations/capability.ts",
  "shield/admin/operations/revocations_api.ts",
  "shield/ledger/admin/why.ts",
  "shield/policy/admin_api.ts",
  "shield/policy/policy_stats.ts",
  "shield/mirror/admin_api.ts",
  "shield/schema/capability.ts",
  "shield/classes/api.ts",
  "shield/audit/api.ts",
  "shield/apply/api.ts",
  "shield/journal/capability.ts",
  "shield/backup/capability.ts",
];

type Refused = readonly [status: number, reason: string];

async function knock(bus: TestBus, token: string | undefined, query = ""): Promise<Refused[]> {
  const headers = new Headers(token === undefined ? {} : { authorization: `Bearer ${token}` });
  const refused: Refused[] = [];
  // One after another: the listener limits concurrent unauthenticated connections, and there are more routes than that.
  for (const { method, path } of ADMIN_ROUTES) {
    const more = query === "" ? "" : `?${query}`;
    const response = await fetch(`${bus.admin_url}${path}${more}`, { method, headers });
    refused.push([response.status, String((await response.json()).reason)]);
  }
  return refused;
}

Deno.test("no admin route answers without a token of role admin; none is left out of the list", async () => {
  await using bus = await startBus();
  const everywhere = (refused: Refused) => ADMIN_ROUTES.map(() => refused);
  const user = await bus.tokenFor();
  const forged = `${(await bus.tokenFor({ role: "admin" })).slice(0, -8)}AAAAAAAA`;
  const expired = await bus.tokenFor({ role: "admin", ttl_seconds: -3_600 });
  const admin = await bus.tokenFor({ role: "admin" });
  const elsewhere = await bus.tokenFor({ role: "admin", claims: { iss: "https://evil.example" } });
  assert.deepEqual(await knock(bus, undefined), everywhere([401, "token-missing"]));
  assert.deepEqual(await knock(bus, "x"), everywhere([401, "token-malformed"]));
  assert.deepEqual(await knock(bus, forged), everywhere([401, "token-signature"]));
  assert.deepEqual(await knock(bus, expired), everywhere([401, "token-expired"]));
  assert.deepEqual(await knock(bus, elsewhere), everywhere([401, "token-issuer"]));
  assert.deepEqual(await knock(bus, user), everywhere([403, "role-forbidden"]));
  const service = await bus.tokenFor({ role: "service" });
  assert.deepEqual(await knock(bus, service), everywhere([403, "role-forbidden"]));
  assert.deepEqual(
    await knock(bus, undefined, `access_token=${admin}`),
    everywhere([401, "token-missing"]),
  );
  const known = new Set(listedRoutes(SHIELD_CAPABILITIES).map(({ template }) => template));
  for (const file of ADMIN_FILES) {
    const text = await Deno.readTextFile(`${ROOT}/${file}`);
    for (const [, path = ""] of text.matchAll(/"(\/v1\/[a-z/]+[a-z])"/g)) {
      assert.ok(
        known.has(path),
        `${file} names ${path}, which is in no table of routes`,
      );
    }
  }
});

Deno.test("the admin listener is on loopback unless the configuration says otherwise", () => {
  assert.equal(configFrom({}).admin.host, "127.0.0.1");
});

/** Must not occur anywhere: each is put in a different place. */
const SECRETS = ["claim", "jti", "data", "header", "state", "meta", "cipher", "query", "reason"]
  .map((what) => `SECRET-${what}-5f3a`);

async function sendSecrets(bus: TestBus, tokens: readonly string[]): Promise<void> {
  const [claim, jti, data, header, state, meta, cipher] = SECRETS as [string, string, ...string[]];
  const claims = { secret: claim, jti };
  const token = await bus.tokenFor({ user: "ann", claims });
  using client = await openText(bus.url, token);
  const payload = { text: data };
  for (
    const frame of [
      { op: "sub", room: "lobby", presence: true, member_meta: { meta }, id: 1 },
      { op: "pub", room: "lobby", type: "chat", data: payload, headers: { h: header }, id: 2 },
      { op: "cmd", room: "lobby", name: "room.set", data: { key: "k", value: state }, id: 3 },
      { op: "cmd", room: "lobby", name: "room.nonsense", data: payload, id: 4 },
      { op: "pub", room: "lobby", type: "ROOM_X", data: payload, id: 5 },
      { op: "pub", room: "a.b", type: "chat", data: payload, id: 6 },
      { op: "pub", room: "lobby", type: "chat", data: payload, tenant: "other", id: 7 },
      { op: "pub", room: "lobby", type: "chat", data: payload, signature: cipher, id: 8 },
      `{"op":"pub","room":"lobby","type":"chat","data":${JSON.stringify(data)},`,
      `${data}`,
      { op: "refresh", token: `${token}x`, id: 9 },
    ]
  ) client.send(frame);
  await client.closed();
  for (const bad of tokens) {
    for (
      const path of ["/v1/auth/check", `/v1/socket?access_token=${bad}`, "/v1/rooms/r/messages"]
    ) {
      const headers = { authorization: `Bearer ${bad}`, "content-type": "application/json" };
      const method = path.endsWith("messages") ? "POST" : "GET";
      const body = method === "POST" ? { body: `{"data":"${data}"` } : {};
      const response = await fetch(`${bus.http_url}${path}`, { method, headers, ...body });
      await response.body?.cancel();
    }
    const socket = new RawClient(bus.url, { token: bad });
    await socket.closed();
  }
}

Deno.test("tokens, claims and what messages say are in no log and no metric, at level debug", async () => {
  await using bus = await startBusWith('[log]\nlevel = "debug"\n\n[brain]\ntap = true\n');
  const secret = (claims: object, rest: object = {}) =>
    bus.tokenFor({ claims: { secret: SECRETS[0], jti: SECRETS[1], ...claims }, ...rest });
  const revoked = await secret({ iat: 1 }, { user: "revoked" });
  const tokens = [
    await secret({}, { ttl_seconds: -3_600 }),
    await secret({ iss: SECRETS[0] }),
    await secret({ aud: SECRETS[0] }),
    await secret({ tenant_id: `${SECRETS[0]}.` }),
    await secret({ grants: SECRETS[0] }),
    await secret({ nbf: 1e11 }),
    `${(await secret({})).slice(0, -6)}AAAAAA`,
    revoked,
  ];
  const admin = await bus.tokenFor({ role: "admin", user: "root", claims: { jti: SECRETS[1] } });
  const revocation = { tenant: "default", user: "revoked", reason: SECRETS[8] };
  const operator = new HttpPeer(bus.admin_url, admin);
  assert.equal((await operator.call("POST", "revocations", revocation)).status, 200);
  await sendSecrets(bus, tokens);
  const metrics = await (await fetch(`${bus.ops_url}/metrics`)).text();
  const health = await (await fetch(`${bus.ops_url}/health/ready`)).text();
  const seen = { log: bus.log(), metrics, health };
  assert.match(seen.log, /level=debug|tokens were revoked/, "the log is there");
  assert.match(metrics, /shield_authentications_total\{[^}]*token-signature/);
  for (const [where, text] of Object.entries(seen)) {
    for (const secret of SECRETS) assert.ok(!text.includes(secret), `${secret} is in the ${where}`);
    for (const token of [...tokens, admin, bus.token]) {
      for (const part of token.split(".").slice(1)) {
        assert.ok(!text.includes(part.slice(0, 40)), `a token is in the ${where}`);
      }
    }
    assert.doesNotMatch(text, /PRIVATE KEY|"d":/);
  }
});

/** Starts a Shield with these permissions; returns whether it became ready, and its output. */
async function startWith(
  permissions: readonly string[],
  config: string,
): Promise<[boolean, string]> {
  const flags = ["--no-prompt", "--no-check", "--unstable-worker-options", ...permissions];
  const words = [Deno.execPath(), "run", ...flags, `${ROOT}/shield/main.ts`, "--config", config];
  const shield = StreamedCommand.start(words, { cwd: ROOT, stdout: "null" });
  const ready = await shield.shows((log) => log.includes('msg="ready"'));
  await shield.stop(ready ? "SIGTERM" : "SIGKILL");
  return [ready, shield.text];
}

Deno.test("a Shield starts with exactly the permissions of docs/security.md, and not with one less", async () => {
  await using issuer = await createIssuer();
  const config = `${issuer.dir}/shield.toml`;
  const listeners = ["server", "ops", "admin"].map((name) => (
    `[${name}]\nhost = "127.0.0.1"\nport = 0\n` +
    (name === "admin" ? 'operator_tenants = ["*"]\n' : "")
  ));
  await Deno.writeTextFile(config, `${listeners.join("")}${issuer.config}`);
  const net = "--allow-net=127.0.0.1";
  const read = `--allow-read=${issuer.dir},${ROOT}`;
  const run = "--allow-run=deno";
  const [ready, log] = await startWith([net, read, run], config);
  assert.ok(ready, log);
  assert.match((await startWith([read, run], config))[1], /not allowed to listen/);
  assert.match((await startWith([net, run], config))[1], /cannot read .* Requires read access/);
  const { tasks } = JSON.parse(await Deno.readTextFile(`${ROOT}/deno.json`));
  const allowed = (task: string) => String(tasks[task]).match(/--allow-\S+/g)?.sort();
  assert.deepEqual(allowed("shield"), ["--allow-net", "--allow-read", "--allow-run=deno"]);
  assert.deepEqual(allowed("brain"), ["--allow-net", "--allow-read"]);
});

Deno.test("every line of the threat model names a test", async () => {
  const page = await Deno.readTextFile(`${ROOT}/docs/threats.md`);
  const rows = page.split("\n").filter((line) => /^\| (?!-|threat )/.test(line));
  assert.ok(rows.length >= 20, "the table is there");
  for (const row of rows) {
    assert.match(row, /\]\(\.\.\/[^)]+\): "[^"]+"/);
  }
});
