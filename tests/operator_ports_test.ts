/**
 * The ports of operators with TLS and a token, for curl: a Shield, a Brain, several Shields of one supervisor. Real
 * processes; certificates and tokens change while they run.
 */
import assert from "node:assert/strict";
import { run } from "../tasks/checkout/programs.ts";
import { runArq } from "../arq/testing/run_arq.ts";
import { testCertificate } from "../shared/listeners/testing/certificate.ts";
import { until } from "../shared/testing/until.ts";
import { createIssuer, type Issuer, type ServerProcess, startServer } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";

const FIRST = "first-hunter2";
const SECOND = "second-hunter2";

interface Answer {
  /** 0: none. */
  readonly status: number;
  readonly body: string;
}

/** A request of curl, which trusts only the certificate of `dir`. */
async function curl(dir: string, url: string, token?: string): Promise<Answer> {
  const header = token === undefined ? [] : ["--header", `authorization: Bearer ${token}`];
  const text = (await run("curl", [
    ...["--silent", "--max-time", "30", "--cacert", `${dir}/cert.pem`, "--write-out"],
    ...["\n%{http_code}", ...header, url],
  ]))?.stdout ?? assert.fail("there is no curl");
  const at = text.lastIndexOf("\n");
  return { status: Number(text.slice(at + 1)), body: text.slice(0, Math.max(0, at)) };
}

async function writePair(dir: string): Promise<void> {
  const { cert, key } = await testCertificate();
  await Deno.writeTextFile(`${dir}/key.pem`, key);
  await Deno.writeTextFile(`${dir}/cert.pem`, cert);
}

const tlsLines = (dir: string) => `tls_cert = "${dir}/cert.pem"\ntls_key = "${dir}/key.pem"\n`;
const opsLines = (dir: string) => `${tlsLines(dir)}token_file = "${dir}/ops.token"\n`;

/** An issuer with a certificate and a token in its folder. */
async function withIssuer(body: (issuer: Issuer) => Promise<void>): Promise<void> {
  await using issuer = await createIssuer();
  await writePair(issuer.dir);
  await Deno.writeTextFile(`${issuer.dir}/ops.token`, `${FIRST}\n`);
  await body(issuer);
}

/** With the token everything is visible, without one only liveness and readiness, with another one nothing. */
async function holdsOps({ ready }: ServerProcess, dir: string): Promise<void> {
  const ops = ready.ops_url ?? "";
  assert.match(ops, /^https:/);
  const ask = (path: string, token?: string) => curl(dir, `${ops}${path}`, token);
  assert.equal((await ask("/metrics")).status, 401);
  assert.equal(JSON.parse((await ask("/metrics")).body).reason, "token-missing");
  assert.equal((await ask("/metrics", "other")).status, 401);
  assert.equal((await ask("/health/ready", "other")).status, 401);
  assert.match((await ask("/metrics", FIRST)).body, /^arqon_build_info/m);
  const live = await ask("/health/live");
  const probed = await ask("/health/ready");
  const full = await ask("/health/ready", FIRST);
  assert.deepEqual([live.status, probed.status, full.status], [200, 200, 200]);
  assert.deepEqual(JSON.parse(probed.body), { status: "ok" });
  assert.ok(Object.keys(JSON.parse(full.body).checks).length > 0);
  assert.equal((await curl(dir, `${ops.replace("https", "http")}/health/live`)).status, 0);
}

/** `arq doctor` with the configuration of a healthy bus. */
async function doctorFindsNothing({ ready }: ServerProcess, dir: string, config: string) {
  for (const file of ["key.pem", "ops.token"]) await Deno.chmod(`${dir}/${file}`, 0o600);
  const port = (url = "") => `port = ${new URL(url).port}\n`;
  const tables = [
    `[server]\nhost = "127.0.0.1"\n${port(ready.url)}`,
    `[ops]\n${port(ready.ops_url)}${opsLines(dir)}`,
    `[admin]\noperator_tenants = ["*"]\n${port(ready.admin_url)}${tlsLines(dir)}`,
  ];
  await Deno.writeTextFile(`${dir}/doctor.toml`, tables.join("") + config);
  const places = { cwd: dir, env: { HOME: dir, XDG_CONFIG_HOME: `${dir}/config` } };
  const { code, stdout } = await runArq(["doctor", "--config", "doctor.toml"], places);
  for (const name of ["client", "ops", "admin"]) {
    assert.match(stdout, new RegExp(`^ok +${name} port +an ArqonBus serves on`, "m"), stdout);
  }
  assert.doesNotMatch(stdout, /FAIL|stop it/);
  assert.equal(code, 0);
}

async function tokenChanges({ ready }: ServerProcess, dir: string): Promise<void> {
  const status = async (token: string) =>
    (await curl(dir, `${ready.ops_url}/metrics`, token)).status;
  await Deno.writeTextFile(`${dir}/ops.token`, SECOND);
  assert.deepEqual([await status(SECOND), await status(FIRST)], [200, 401]);
  await Deno.remove(`${dir}/ops.token`);
  assert.deepEqual([await status(SECOND), await status(FIRST)], [200, 401], "the last good one");
}

Deno.test("a Shield's ports of operators use TLS, and ops requires a token", async () => {
  await withIssuer(async ({ dir, config, tokenFor }) => {
    const lines = { admin_lines: tlsLines(dir), ops_lines: opsLines(dir) };
    await using shield = await startServer("shield", config, dir, "", lines);
    await holdsOps(shield, dir);
    const { admin_url = "", ops_url } = shield.ready;
    assert.match(admin_url, /^https:/);
    const admin = await tokenFor({ role: "admin", tenant_id: "ops" });
    assert.equal((await curl(dir, `${admin_url}/v1/status`, admin)).status, 200);
    assert.equal((await curl(dir, `${admin_url}/v1/status`)).status, 401);
    await doctorFindsNothing(shield, dir, config);
    await tokenChanges(shield, dir);
    await writePair(dir);
    for (const url of [`${ops_url}/health/live`, `${admin_url}/v1/status`]) {
      await until("the new certificate", async () => (await curl(dir, url)).status > 0);
    }
    const { body } = await curl(dir, `${ops_url}/metrics`, SECOND);
    for (const listener of ["ops", "admin"]) {
      const reloads = `shield_tls_reloads_total{listener="${listener}",result="ok"} 1`;
      assert.ok(body.includes(reloads), reloads);
    }
    assert.equal((await shield.stop()).code, 0, shield.log());
    assert.doesNotMatch(shield.log(), /hunter2|PRIVATE/);
  });
});

Deno.test("arq sends the token of an ops listener that requires one, by an option or a context", async () => {
  await withIssuer(async ({ dir, config }) => {
    const ops_lines = `token_file = "${dir}/ops.token"\n`;
    await using shield = await startServer("shield", config, dir, "", { ops_lines });
    const { ops_url = "", url = "" } = shield.ready;
    const places = { cwd: dir, env: { HOME: dir, XDG_CONFIG_HOME: `${dir}/config` } };
    const arq = (...args: string[]) => runArq(args, places);
    const at = ["--ops-url", ops_url];
    const health = async (...more: string[]) =>
      JSON.parse((await arq("status", "--json", ...more)).stdout).health;
    assert.deepEqual(await health(...at), { status: "ok" });
    const by_option = await health(...at, "--ops-token-file", `${dir}/ops.token`);
    assert.ok("spine" in by_option.checks);
    const context = ["one", "--url", url.replace(/^http/, "ws"), ...at];
    await arq("context", "add", ...context, "--ops-token-file", "ops.token");
    assert.ok("spine" in (await health("--context", "one")).checks);
    await Deno.writeTextFile(`${dir}/ops.token`, "");
    const empty = await arq("status", "--context", "one");
    assert.equal(empty.code, 3, empty.stderr);
    assert.match(empty.stderr, /ops\.token holds no token/);
    await Deno.writeTextFile(`${dir}/other.token`, "hunter2");
    const wrong = await arq("status", ...at, "--ops-token-file", "other.token");
    assert.equal(wrong.code, 3, wrong.stderr);
    assert.doesNotMatch(wrong.stderr, /hunter2/);
    const doctor = await arq("doctor", "--context", "one", "--ops-token-file", "other.token");
    assert.match(doctor.stdout, /refuses the token of its ops listener/);
  });
});

Deno.test("a supervisor's ops uses the token of its Shields, also for its requests to them", async () => {
  await withIssuer(async ({ dir, config, tokenFor }) => {
    await using nats = await startNats({ jetstream: true });
    const with_nats = `${config}[nats]\nurls = ["${nats.url}"]\n`;
    const lines = { admin_lines: tlsLines(dir), ops_lines: opsLines(dir) };
    const options = { args: ["--processes", "2"], ...lines };
    await using node = await startServer("shield", with_nats, dir, "", options);
    await holdsOps(node, dir);
    const { body } = await curl(dir, `${node.ready.ops_url}/metrics`, FIRST);
    for (const index of ["0", "1"]) {
      assert.match(body, new RegExp(`^arqon_build_info\\{.*process="${index}"`, "m"));
    }
    const admin = await tokenFor({ role: "admin", tenant_id: "ops" });
    assert.equal((await curl(dir, `${node.ready.admin_url}/v1/status`, admin)).status, 200);
    await tokenChanges(node, dir);
    assert.equal((await node.stop()).code, 0, node.log());
    assert.doesNotMatch(node.log(), /hunter2|PRIVATE/);
  });
});
