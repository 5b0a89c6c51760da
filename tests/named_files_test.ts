/**
 * Files that a configuration names and that are not there or not what they have to be: each start, and
 * `arq config check`, names the key and the file. Real processes.
 */
import assert from "node:assert/strict";
import { runArq } from "../arq/testing/run_arq.ts";
import { createIssuer } from "./cluster.ts";

const ROOT = new URL("..", import.meta.url).pathname.replace(/\/$/, "");
const PORTS = "[ops]\nport = 0\n[admin]\nport = 0\n";
const OPERATORS = 'operator_tenants = ["*"]\n';
const SERVER = "[server]\nport = 0\n";
const NATS = '[nats]\nurls = ["nats://127.0.0.1:1"]\n';

async function run(part: "shield" | "brain", config_file: string) {
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["task", "-q", part, "--config", config_file],
    cwd: ROOT,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  return { code, stderr: new TextDecoder().decode(stderr) };
}

const MISSING: readonly (readonly [key: string, text: string])[] = [
  ["server.tls_cert", `${NATS}${SERVER}tls_cert = "/gone.pem"\ntls_key = "/gone.key"\n`],
  ["nats.credentials_file", `${SERVER}${NATS}credentials_file = "/gone.creds"\n`],
  ["nats.tls_ca_file", `${SERVER}${NATS}tls_ca_file = "/gone.pem"\n`],
  [
    "quota.tls_ca_file",
    `${SERVER}[quota]\nurl = "rediss://127.0.0.1:1"\ntls_ca_file = "/gone.pem"\n`,
  ],
  [
    "auth.issuers[0].jwks_file",
    `${SERVER}[[auth.issuers]]\nissuer = "x"\naudience = "a"\njwks_file = "/gone.json"\ntenants = ["t"]\n`,
  ],
];

Deno.test("a file that is missing is named with its key, at the start and by arq config check", async (t) => {
  const issuer = await createIssuer();
  try {
    for (const [key, text] of MISSING) {
      await t.step(key, async () => {
        const file = `${issuer.dir}/config.toml`;
        await Deno.writeTextFile(file, `${PORTS}${OPERATORS}${text}${issuer.config}`);
        const named = new RegExp(`${RegExp.escape(key)}\\W.*/gone\\.`);
        const shield = await run("shield", file);
        assert.match(shield.stderr, named);
        assert.doesNotMatch(shield.stderr, /^\s+at /m);
        assert.notEqual(shield.code, 0);
        if (key.startsWith("nats")) {
          const brain = await run("brain", file);
          assert.equal(brain.code, 2, brain.stderr);
          assert.match(brain.stderr, named);
        }
        const check = await runArq(["config", "check", file], { cwd: issuer.dir });
        assert.equal(check.code, 1);
        assert.match(check.stdout, named);
        const without = await runArq(["config", "check", file, "--no-files"], { cwd: issuer.dir });
        assert.equal(without.code, 0, without.stdout);
      });
    }
  } finally {
    await Deno.remove(issuer.dir, { recursive: true });
  }
});

Deno.test("arq config check reads what is in the files, and every one of them", async () => {
  const issuer = await createIssuer();
  const cwd = issuer.dir;
  const check = (more: string[] = []) =>
    runArq(["config", "check", "config.toml", ...more], { cwd });
  try {
    const jwks =
      '[[auth.issuers]]\nissuer = "x"\naudience = "a"\njwks_file = "keys.json"\ntenants = ["t"]\n';
    const tls = `${SERVER}tls_cert = "cert.pem"\ntls_key = "cert.pem"\n`;
    await Deno.writeTextFile(
      `${cwd}/config.toml`,
      `${PORTS}${OPERATORS}${tls}${jwks}${issuer.config}`,
    );
    await Deno.writeTextFile(`${cwd}/keys.json`, '{"keys":[]}');
    await Deno.writeTextFile(`${cwd}/cert.pem`, "no certificate");
    const { problems } = JSON.parse((await check(["--json"])).stdout);
    assert.deepEqual(
      problems.map(({ key }: { key: string }) => key),
      ["server.tls_cert", "auth.issuers[0].jwks_file"],
    );
    assert.match(problems[1].text, /"keys\.json" holds no key for RS256/);
    await Deno.writeTextFile(`${cwd}/config.toml`, `${PORTS}${OPERATORS}${SERVER}${issuer.config}`);
    const good = await check();
    assert.equal(good.code, 0, good.stdout);
    await Deno.writeFile(`${cwd}/config.toml`, new Uint8Array([0x61, 0x20, 0x3d, 0x20, 0xff]));
    const bad = await check();
    assert.deepEqual([bad.code, /config\.toml:1:5 it is not UTF-8/.test(bad.stdout)], [1, true]);
    const shield = await run("shield", `${cwd}/config.toml`);
    assert.equal(shield.code, 2);
    assert.match(shield.stderr, /config\.toml:1:5 it is not UTF-8/);
    const serve = await runArq(["serve", "--config", "config.toml"], { cwd });
    assert.equal(serve.code, 2);
    assert.match(serve.stderr, /it is not UTF-8/);
  } finally {
    await Deno.remove(cwd, { recursive: true });
  }
});

Deno.test("arq config check refuses more connections than a process here may have files", async () => {
  const cwd = await Deno.makeTempDir();
  const check = async (text: string, ...more: string[]) => {
    await Deno.writeTextFile(`${cwd}/config.toml`, text);
    return await runArq(["config", "check", "config.toml", ...more], { cwd });
  };
  try {
    // No system allows so many.
    const many = "[limits]\nconnections_per_process = 10_000_000\n";
    const { stdout } = await new Deno.Command("sh", { args: ["-c", "ulimit -n"] }).output();
    const limit = new TextDecoder().decode(stdout).trim();
    const refused = await check(many);
    assert.equal(refused.code, limit === "unlimited" || Number(limit) > 10_000_256 ? 0 : 1);
    if (refused.code === 1) {
      assert.match(
        refused.stdout,
        /^config\.toml:2:27 limits\.connections_per_process: 10_000_000 needs 10000256 open files, /,
      );
    }
    assert.equal((await check(many, "--no-files")).code, 0);
    assert.equal((await check("[limits]\nconnections_per_process = 5\n")).code, 0);
    assert.equal((await check("")).code, 0, "the default is no wish");
  } finally {
    await Deno.remove(cwd, { recursive: true });
  }
});
