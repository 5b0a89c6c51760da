/** Quotas of several Shields on a real server: shared, and separate while it is unreachable, frozen or wrong. */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { atEnd } from "../../shared/testing/at_end.ts";
import { pace } from "../../shared/testing/pace.ts";
import { until } from "../../shared/testing/until.ts";
import { startValkey } from "../../tests/harness/valkey_server.ts";
import { configFrom } from "../../shared/config/load.ts";
import { keptLog, QUIET } from "../../shared/testing/logs.ts";
import { createMetrics, type Registry } from "../../shared/metrics/metrics.ts";
import { sampleOf } from "../../shared/testing/sample_of.ts";
import { emptySettings, type TenantSettings } from "../../shared/records/tenant_settings.ts";
import { type QuotaOptions, type StartedQuota, startQuota } from "./capability.ts";
import { retryPause_ms } from "./valkey.ts";

const TLS = new URL("../../tests/tls/", import.meta.url).pathname;
const TLS_CA = `${TLS}ca.pem`;

interface Member extends Disposable {
  readonly quota: StartedQuota;
  readonly registry: Registry;
  readonly lines: string[];
}

/** Tenants without their own settings. */
const NO_SETTINGS = { get: () => emptySettings(), onChange: () => () => {} };

async function join(
  url: string,
  more: Record<string, unknown> = {},
  settings: QuotaOptions["settings"] = NO_SETTINGS,
): Promise<Member> {
  const registry = createMetrics({ node_id: "test", version: "0" });
  const { log, lines } = keptLog({ level: "info" });
  const quota = await startQuota({
    config: configFrom({ quota: { url, retry_ms: 100, ...more } }),
    settings,
    registry,
    log,
    monotonic_ms: () => performance.now(),
    readTextFile: Deno.readTextFileSync,
  });
  assert(quota !== undefined);
  return { quota, registry, lines, [Symbol.dispose]: () => quota.close() };
}

/** Whether the message passes. */
function send({ quota }: Member, tenant: string): boolean {
  try {
    quota.take(tenant, 10);
    return true;
  } catch (error) {
    assert(error instanceof ArqonError);
    assert.equal(error.reason, "tenant-quota");
    assert.equal(error.code, 429);
    assert.match(error.message, /quota of messages a second is used up/);
    assert(error.retry_after_ms > 0);
    return false;
  }
}

/** The amount that passes within a time, with all members concurrently, and the real duration in s. */
async function flood(members: readonly Member[], tenant: string, for_ms: number) {
  const started_ms = performance.now();
  let passed = 0;
  let refused = 0;
  while (performance.now() - started_ms < for_ms) {
    for (const member of members) {
      for (let index = 0; index < 20; index++) send(member, tenant) ? passed++ : refused++;
    }
    await pace(5);
  }
  return { passed, refused, took_s: (performance.now() - started_ms) / 1_000 };
}

/**
 * The first flood in which no member had to count alone: a server on a busy machine answers late, and then each grants
 * the whole quota. `tenantOf` returns the tenant of each try.
 */
async function sharedFlood(
  members: readonly Member[],
  tenantOf: (round: number) => string,
  for_ms: number,
) {
  const alone = () =>
    members.flatMap(({ lines }) => lines).filter((line) => line.includes("counts alone")).length;
  for (let round = 1; round <= 20; round++) {
    await until("all are connected", () => members.every(({ quota }) => !quota.degraded));
    const before = alone();
    const flooded = await flood(members, tenantOf(round), for_ms);
    if (alone() === before) return { ...flooded, rounds: round };
  }
  throw new Error("the server answered late in each of 20 floods");
}

const valueOf = ({ registry }: Member, name: string) => sampleOf(registry, name);

const LIMIT = 200;

Deno.test("two Shields share a tenant's quota; another tenant has its own", async () => {
  await using server = await startValkey();
  const more = {
    tenant_messages_per_second: LIMIT,
    tenants: [{ tenant: "big", messages_per_second: 1_000_000 }],
  };
  using one = await join(server.url, more);
  using two = await join(server.url, more);
  const members = [one, two];
  const { passed, refused, took_s, rounds } = await sharedFlood(members, (at) => `a${at}`, 2_000);
  // A second's burst, the refill, and the slices and overdrafts of two Shields.
  const most = LIMIT * (1 + took_s + 2 * (0.2 + 0.1 + 0.25)) + 2;
  assert(passed <= most, `${passed} passed in ${took_s} s; at most ${most}`);
  assert(passed >= LIMIT, `only ${passed} passed`);
  assert(refused > 0);
  assert.equal((await sharedFlood(members, () => "big", 200)).refused, 0, "its own quota");
  const metrics = await one.registry.metrics();
  assert.match(metrics, /^shield_quota_refusals_total\{quota="messages"\} [1-9]/m);
  assert.match(metrics, /^shield_quota_reservations_total\{outcome="granted"\} [1-9]/m);
  assert.match(metrics, /^shield_quota_degraded 0$/m);
  assert.match(metrics, new RegExp(`^shield_quota_tenants ${rounds + 1}$`, "m"));
});

Deno.test("a tenant's own quota has priority, applies from its change on, and affects no other tenant", async () => {
  await using server = await startValkey();
  let quotas: TenantSettings["quotas"];
  const listeners = new Set<(tenant_id: string, settings: TenantSettings) => void>();
  const get = (tenant_id: string) =>
    tenant_id === "acme" && quotas !== undefined ? { ...emptySettings(), quotas } : emptySettings();
  const settings: QuotaOptions["settings"] = {
    get,
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
  const change = (next: TenantSettings["quotas"]) => {
    quotas = next;
    for (const listener of listeners) listener("acme", get("acme"));
  };
  const member = await join(server.url, { tenant_messages_per_second: 1_000_000 }, settings);
  await until("it is connected", () => !member.quota.degraded);
  assert.equal((await flood([member], "acme", 200)).refused, 0);
  change([{ unit: "messages", per_second: LIMIT }]);
  const { passed, refused, took_s } = await sharedFlood([member], () => "acme", 1_000);
  assert(refused > 0, "the change applies");
  const most = LIMIT * (1 + took_s + 0.55) + 2;
  assert(passed <= most, `${passed} passed in ${took_s} s; at most ${most}`);
  assert.equal((await flood([member], "other", 200)).refused, 0);
  change([]);
  await until("the configured quota applies again", () => send(member, "acme"));
  assert.equal((await flood([member], "acme", 200)).refused, 0);
  member.quota.close();
  assert.equal(listeners.size, 0, "a closed quota has no listeners");
});

Deno.test("after a server is killed each Shield counts alone, logs that once, and recovers", async () => {
  await using server = await startValkey();
  using member = await join(server.url, { tenant_messages_per_second: LIMIT });
  await until("it is connected", () => !member.quota.degraded);
  assert(send(member, "acme"));
  await server.kill();
  await until("it notices", () => member.quota.degraded);
  const alone = await flood([member], "acme", 1_000);
  assert(alone.passed >= LIMIT / 2, "the Shield's own bucket is used");
  assert(alone.passed <= LIMIT * (1 + alone.took_s + 0.55) + 1, "and keeps the quota");
  assert.equal(await valueOf(member, "shield_quota_degraded"), 1);
  const lines = () => member.lines.filter((line) => line.includes("counts alone")).length;
  assert.equal(lines(), 1, member.lines.join(""));
  await server.start();
  await until("it recovers", () => !member.quota.degraded);
  assert.match(member.lines.join(""), /counts for all Shields/);
});

Deno.test("a hanging server delays nothing, and is retried until it answers", async () => {
  await using server = await startValkey();
  using member = await join(server.url, { tenant_messages_per_second: 1_000_000, timeout_ms: 50 });
  await until("it is connected", () => !member.quota.degraded);
  server.freeze();
  assert(send(member, "acme"), "a message passes before any answer");
  await until("it notices", () => send(member, "acme") && member.quota.degraded);
  const { refused } = await flood([member], "acme", 300);
  assert.equal(refused, 0);
  server.resume();
  await until("it recovers", () => !member.quota.degraded);
  assert(send(member, "acme"));
});

Deno.test("while a server answers but takes no writes, each Shield counts alone, without a break", async () => {
  await using server = await startValkey();
  using member = await join(server.url, { tenant_messages_per_second: LIMIT });
  await until("it is connected", () => !member.quota.degraded);
  await server.command("CONFIG", "SET", "maxmemory", "1");
  await until("it notices", () => send(member, "acme") && member.quota.degraded);
  // Several probes.
  const alone = await flood([member], "acme", 1_000);
  assert(alone.passed <= LIMIT * (1 + alone.took_s + 0.55) + 1, `${alone.passed}`);
  const back = () => member.lines.filter((line) => line.includes("for all Shields")).length;
  assert.equal(back(), 1, member.lines.join(""));
  assert.match(member.lines.join(""), /OOM.*counts alone/);
  await server.command("CONFIG", "SET", "maxmemory", "0");
  await until("it recovers", () => !member.quota.degraded);
});

Deno.test("with a wrong password there is no quota server, and the password is not logged", async () => {
  await using server = await startValkey({ args: ["--requirepass", "right"] });
  const url = server.url.replace("redis://", "redis://:verysecret@");
  using member = await join(url);
  await until("a word of it", () => member.lines.length > 0);
  assert(send(member, "acme"));
  assert.match(member.lines.join(""), /counts alone/);
  assert.doesNotMatch(member.lines.join(""), /verysecret/);
  using right = await join(server.url.replace("redis://", "redis://:right@"));
  await until("the right password", () => !right.quota.degraded);
});

Deno.test("a password file is read again after the server's password changes", async () => {
  await using server = await startValkey({ args: ["--requirepass", "first-hunter2"] });
  const password_file = await Deno.makeTempFile();
  await using _end = atEnd(() => Deno.remove(password_file));
  await Deno.writeTextFile(password_file, "first-hunter2\n");
  using member = await join(server.url, { password_file });
  await until("the first password", () => !member.quota.degraded);
  const authorized = (password: string, ...words: string[]) =>
    server.commands(["AUTH", password], words);
  await authorized("first-hunter2", "CONFIG", "SET", "requirepass", "second-hunter2");
  await authorized("second-hunter2", "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
  await until("it notices", () => member.quota.degraded);
  await Deno.writeTextFile(password_file, "second-hunter2");
  await until("the second password", () => !member.quota.degraded);
  assert(send(member, "acme"));
  assert.doesNotMatch(member.lines.join(""), /hunter2/);
  await Deno.writeTextFile(password_file, "");
  await assert.rejects(
    join(server.url, { password_file }),
    /quota\.password_file: ".*" is empty; expected one line/,
  );
});

Deno.test("a user of the server's access list logs in with a password file", async () => {
  await using server = await startValkey({
    args: ["--user", "arqon", "on", ">hunter2", "~*", "+@all", "--user", "default", "off"],
  });
  const password_file = await Deno.makeTempFile();
  await using _end = atEnd(() => Deno.remove(password_file));
  await Deno.writeTextFile(password_file, "hunter2\n");
  using member = await join(server.url.replace("//", "//arqon@"), { password_file });
  await until("it is admitted", () => !member.quota.degraded);
});

Deno.test("a client certificate is sent to a server that requires one", async () => {
  await using server = await startValkey({ tls: "mutual" });
  const own = { tls_cert_file: `${TLS}server.pem`, tls_key_file: `${TLS}server_key.pem` };
  using member = await join(server.url, { tls_ca_file: TLS_CA, ...own });
  await until("its certificate is accepted", () => !member.quota.degraded);
  using without = await join(server.url, { tls_ca_file: TLS_CA });
  await until("a word of it", () => without.lines.length > 0);
  assert(without.quota.degraded);
});

Deno.test("pauses between attempts double to eight times the first, and are half by chance", () => {
  const pauses = (random: number) =>
    [1, 2, 3, 4, 5, 99].map((attempt) => retryPause_ms(1_000, attempt, () => random));
  assert.deepEqual(pauses(0), [500, 1_000, 2_000, 4_000, 4_000, 4_000]);
  assert.deepEqual(pauses(0.5), [750, 1_500, 3_000, 6_000, 6_000, 6_000]);
});

Deno.test("over TLS the server is trusted only by tls_ca_file", async () => {
  await using server = await startValkey({ tls: true });
  using member = await join(server.url, { tls_ca_file: TLS_CA });
  await until("it is trusted", () => !member.quota.degraded);
  assert(send(member, "acme"));
  using strangers = await join(server.url);
  await until("a word of it", () => strangers.lines.length > 0);
  assert.match(strangers.lines.join(""), /certificate|issuer/i);
  assert(strangers.quota.degraded);
  await assert.rejects(
    join(server.url, { tls_ca_file: "/nowhere/ca.pem" }),
    /quota\.tls_ca_file: "\/nowhere\/ca\.pem" cannot be read/,
  );
});

Deno.test("without [quota] there are no quotas, and an invalid one prevents the start", async () => {
  const log = QUIET;
  const registry = createMetrics({ node_id: "test", version: "0" });
  const config = configFrom({});
  const parts = { config, settings: NO_SETTINGS, registry, log };
  const monotonic_ms = () => 0;
  const readTextFile = Deno.readTextFileSync;
  assert.equal(await startQuota({ ...parts, monotonic_ms, readTextFile }), undefined);
  const plain = { url: "redis://h", tls_ca_file: "ca.pem" };
  assert.throws(() => configFrom({ quota: plain }), /only with rediss:\/\//);
  for (const url of ["", "http://127.0.0.1", "127.0.0.1:6379"]) {
    assert.throws(() => configFrom({ quota: { url } }), /expected a URL such as/);
  }
  const twice = [{ tenant: "a" }, { tenant: "a" }];
  assert.throws(
    () => configFrom({ quota: { url: "redis://h", tenants: twice } }),
    /the same tenant/,
  );
});
