/**
 * Missing or invalid files in a configuration, and admins without `operator_tenants`: each start, and `arq config
 * check`, names the key and the file. Real processes.
 */
import assert from "node:assert/strict";
import { testCertificate } from "../shared/listeners/testing/certificate.ts";
import { runArq, startArq, succeeds } from "../arq/testing/run_arq.ts";
import { atEnd } from "../shared/testing/at_end.ts";
import { temporaryFolder } from "../shared/testing/temporary_folder.ts";
import { must } from "../tasks/checkout/programs.ts";
import { withFiles } from "./harness/bus.ts";
import { createIssuer } from "./harness/cluster.ts";
import { ended, startTask } from "./harness/server_task.ts";
import { AdminClient } from "./peers/admin_client.ts";

const PORTS = "[admin]\nport = 0\n";
const OPS = "[ops]\nport = 0\n";
const OPERATORS = 'operator_tenants = ["*"]\n';
const SERVER = "[server]\nport = 0\n";
const NATS = '[nats]\nurls = ["nats://127.0.0.1:1"]\n';
const HOOK =
  `[[hooks]]\nid = "a"\ntenant = "t"\nurl = "https://a.test"\nsecret_file = "/gone.secret"\n`;

const MISSING: readonly (readonly [key: string, text: string, ops?: string])[] = [
  ["ops.token_file", SERVER, 'token_file = "/gone.token"\n'],
  ["ops.tls_cert", SERVER, 'tls_cert = "/gone.pem"\ntls_key = "/gone.key"\n'],
  ["server.tls_cert", `${NATS}${SERVER}tls_cert = "/gone.pem"\ntls_key = "/gone.key"\n`],
  ["nats.credentials_file", `${SERVER}${NATS}credentials_file = "/gone.creds"\n`],
  ["nats.tls_ca_file", `${SERVER}${NATS}tls_ca_file = "/gone.pem"\n`],
  ["nats.password_file", `${SERVER}${NATS}user = "a"\npassword_file = "/gone.password"\n`],
  ["nats.token_file", `${SERVER}${NATS}token_file = "/gone.token"\n`],
  ["nats.nkey_file", `${SERVER}${NATS}nkey_file = "/gone.nk"\n`],
  [
    "nats.tls_cert_file",
    `${SERVER}${NATS}tls_cert_file = "/gone.pem"\ntls_key_file = "/gone.key"\n`,
  ],
  [
    "quota.password_file",
    `${SERVER}[quota]\nurl = "redis://127.0.0.1:1"\npassword_file = "/gone.password"\n`,
  ],
  [
    "telemetry.headers_file",
    `${SERVER}[telemetry]\notlp_url = "http://127.0.0.1:1"\nheaders_file = "/gone.headers"\n`,
  ],
  [
    "quota.tls_ca_file",
    `${SERVER}[quota]\nurl = "rediss://127.0.0.1:1"\ntls_ca_file = "/gone.pem"\n`,
  ],
  [
    "pusher.apps[0].secret_file",
    `${SERVER}[[pusher.apps]]\nid = "a"\nkey = "k"\ntenant = "t"\nsecret_file = "/gone.secret"\n`,
  ],
  ["hooks[0].secret_file", `${SERVER}${HOOK}before = ["connect"]\n`],
  [
    "bridge.postgres.database_file",
    `${SERVER}[bridge.postgres]\ntenant = "t"\ndatabase_file = "/gone.url"\n`,
  ],
  ["webhooks.ca_file", `${SERVER}[webhooks]\nca_file = "/gone.pem"\n`],
  [
    "auth.issuers[0].jwks_file",
    `${SERVER}[[auth.issuers]]\nissuer = "x"\naudience = "a"\njwks_file = "/gone.json"\ntenants = ["t"]\n`,
  ],
];

/** Read by the same code as other rows of the table, which are tested with processes. */
const READ_ALIKE = ["ops.tls_cert", "nats.token_file", "nats.nkey_file", "nats.tls_cert_file"];
/** Those, files that are read on demand, and files that only `arq serve` reads. */
const CHECKED_ONLY = [...READ_ALIKE, "webhooks.ca_file", "bridge.postgres.database_file"];

Deno.test("a file that is missing is named with its key, at the start and by arq config check", async (t) => {
  await using issuer = await createIssuer();
  for (const [key, text, ops = ""] of MISSING) {
    await t.step(key, async () => {
      const file = `${issuer.dir}/config.toml`;
      await Deno.writeTextFile(file, `${OPS}${ops}${PORTS}${OPERATORS}${text}${issuer.config}`);
      const named = new RegExp(`${RegExp.escape(key)}\\W.*/gone\\.`);
      const starts = !CHECKED_ONLY.includes(key);
      if (starts) {
        const shield = await ended(startTask("shield", file));
        assert.match(shield.stderr, named);
        assert.doesNotMatch(shield.stderr, /^\s+at /m);
        assert.equal(shield.code, 2);
      }
      if (starts && key.startsWith("nats")) {
        const brain = await ended(startTask("brain", file));
        assert.equal(brain.code, 2, brain.stderr);
        assert.match(brain.stderr, named);
      }
      const check = await runArq(["config", "check", file], { cwd: issuer.dir });
      assert.equal(check.code, 1);
      assert.match(check.stdout, named);
      succeeds(await runArq(["config", "check", file, "--no-files"], { cwd: issuer.dir }));
    });
  }
});

Deno.test("arq config check reads the content of every file", async () => {
  const issuer = await createIssuer();
  const cwd = issuer.dir;
  const check = (more: string[] = []) =>
    runArq(["config", "check", "config.toml", ...more], { cwd });
  await using _end = atEnd(() => Deno.remove(cwd, { recursive: true }));
  const jwks =
    '[[auth.issuers]]\nissuer = "x"\naudience = "a"\njwks_file = "keys.json"\ntenants = ["t"]\n';
  const tls = `${SERVER}tls_cert = "cert.pem"\ntls_key = "cert.pem"\n`;
  await Deno.writeTextFile(
    `${cwd}/config.toml`,
    `${OPS}${PORTS}${OPERATORS}${tls}${jwks}${issuer.config}`,
  );
  await Deno.writeTextFile(`${cwd}/keys.json`, '{"keys":[]}');
  await Deno.writeTextFile(`${cwd}/cert.pem`, "no certificate");
  const { problems } = JSON.parse((await check(["--json"])).stdout);
  assert.deepEqual(
    problems.map(({ key }: { key: string }) => key),
    ["server.tls_cert", "auth.issuers[0].jwks_file"],
  );
  assert.match(problems[1].text, /"keys\.json" has no key for RS256/);
  await Deno.writeTextFile(
    `${cwd}/config.toml`,
    `${OPS}${PORTS}${OPERATORS}${SERVER}${issuer.config}`,
  );
  succeeds(await check());
  await Deno.writeFile(`${cwd}/config.toml`, new Uint8Array([0x61, 0x20, 0x3d, 0x20, 0xff]));
  const bad = await check();
  assert.deepEqual([bad.code, /config\.toml:1:5 it is not UTF-8/.test(bad.stdout)], [1, true]);
  const shield = await ended(startTask("shield", `${cwd}/config.toml`));
  assert.equal(shield.code, 2);
  assert.match(shield.stderr, /config\.toml:1:5 it is not UTF-8/);
  const serve = await runArq(["serve", "--config", "config.toml"], { cwd });
  assert.equal(serve.code, 2);
  assert.match(serve.stderr, /it is not UTF-8/);
  const bridge = '[bridge.postgres]\ntenant = "t"\ndatabase_file = "keys.json"\n';
  await Deno.writeTextFile(
    `${cwd}/config.toml`,
    `${OPS}${PORTS}${OPERATORS}${SERVER}${bridge}${issuer.config}`,
  );
  const bridged = await runArq(["serve", "--config", "config.toml"], { cwd });
  assert.equal(bridged.code, 2);
  assert.match(bridged.stderr, /bridge\.postgres\.database_file\W.*holds no URL such as/);
});

Deno.test("arq config check and arq doctor read files of secrets, and show none of them", async () => {
  const cwd = await Deno.makeTempDir();
  const file = `${cwd}/config.toml`;
  const secret = (name: string, text: string, mode = 0o600) =>
    Deno.writeTextFile(`${cwd}/${name}`, text, { mode });
  const problems = async () => {
    const { stdout } = await runArq(["config", "check", "config.toml", "--json"], { cwd });
    assert.doesNotMatch(stdout, /hunter2/);
    return JSON.parse(stdout).problems as { key: string; text: string }[];
  };
  await using _end = atEnd(() => Deno.remove(cwd, { recursive: true }));
  await Deno.writeTextFile(
    file,
    `${OPS}token_file = "ops.token"\n${PORTS}${OPERATORS}${SERVER}` +
      `[nats]\nurls = ["nats://127.0.0.1:1"]\nuser = "a"\npassword_file = "nats.password"\n` +
      `[quota]\nurl = "redis://127.0.0.1:1"\npassword_file = "quota.password"\n` +
      `[telemetry]\nheaders_file = "headers"\n`,
  );
  await secret("ops.token", "hunter2 hunter2");
  await secret("nats.password", "\n");
  await secret("quota.password", "hunter2\nhunter2\n");
  await secret("headers", "authorization hunter2");
  assert.deepEqual(
    (await problems()).map(({ key, text }) => [key, /^".*" (\w+ \w+)/.exec(text)?.[1]]),
    [
      ["ops.token_file", "holds no"],
      ["nats.password_file", "is empty"],
      ["quota.password_file", "has more"],
      ["telemetry.headers_file", "has something"],
    ],
  );
  await secret("ops.token", "hunter2\n");
  await secret("nats.password", "hunter2\n");
  await secret("quota.password", "hunter2\n", 0o644);
  await Deno.chmod(`${cwd}/quota.password`, 0o644);
  await secret("headers", "authorization: hunter2\n");
  assert.deepEqual(await problems(), []);
  const { stdout } = await runArq(["doctor", "--config", "config.toml", "--json"], { cwd });
  assert.doesNotMatch(stdout, /hunter2/);
  const { findings } = JSON.parse(stdout) as {
    findings: { check: string; status: string; text: string }[];
  };
  const found = (check: string) => findings.find((one) => one.check === check);
  assert.equal(found("ops.token_file")?.status, "ok");
  assert.equal(found("telemetry.headers_file")?.status, "ok");
  assert.match(found("quota.password_file")?.text ?? "", /others may read or write/);
});

Deno.test("arq config check refuses more connections than a process here may have files", async () => {
  await using cwd = await temporaryFolder();
  const check = async (text: string, ...more: string[]) => {
    await Deno.writeTextFile(`${cwd.path}/config.toml`, text);
    return await runArq(["config", "check", "config.toml", ...more], { cwd: cwd.path });
  };
  // No system allows that many.
  const many = "[limits]\nconnections_per_process = 10_000_000\n";
  const limit = (await must("sh", ["-c", "ulimit -n"])).stdout.trim();
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
});

Deno.test("arq config check looks into data_dir where the embedded Spine will be", async () => {
  await using cwd = await temporaryFolder();
  const check = async (text: string, ...more: string[]) => {
    await Deno.writeTextFile(`${cwd.path}/config.toml`, text);
    return await runArq(["config", "check", "config.toml", ...more], { cwd: cwd.path });
  };
  await Deno.writeTextFile(`${cwd.path}/taken`, "a file");
  const on_file = '[server]\ndata_dir = "taken"\n';
  const refused = await check(on_file);
  assert.equal(refused.code, 1);
  assert.match(refused.stdout, /^config\.toml server\.data_dir: .*taken is not a folder; set /);
  assert.equal((await check(on_file, "--no-files")).code, 0);
  assert.equal((await check(`${on_file}${NATS}`)).code, 0, "with NATS nobody opens it");
  assert.equal((await check('[server]\ndata_dir = "new/deep"\n')).code, 0, "a start makes it");
  const left = [...Deno.readDirSync(cwd.path)].map(({ name }) => name).sort();
  assert.deepEqual(left, ["config.toml", "taken"], "it leaves nothing behind");
});

Deno.test("a start refuses more connections than it may open files, if they are configured", async (t) => {
  await using issuer = await createIssuer();
  const file = `${issuer.dir}/config.toml`;
  const write = (limits: string) =>
    Deno.writeTextFile(file, `${OPS}${PORTS}${OPERATORS}${SERVER}${limits}${issuer.config}`);
  for (const part of ["shield", "arq"] as const) {
    await t.step(part, async () => {
      await write("[limits]\nconnections_per_process = 10_000\n");
      const { code, stderr } = await ended(startTask(part, file, withFiles(2_000)));
      assert.equal(code, 2, stderr);
      assert.match(
        stderr,
        /config\.toml:\d+:27 limits\.connections_per_process: 10_000 needs 10256 open files, /,
      );
      // As many as the system allows, except for those that are already open.
      const [, limit = ""] = /a process here may open (\d+); expected at most/.exec(stderr) ?? [];
      assert.ok(Math.abs(Number(limit) - 2_000) < 100, stderr);
      assert.doesNotMatch(stderr, /^\s+at /m);
    });
  }
});

Deno.test("a certificate that no client accepts ends each start with 1 and one line, before it listens", async (t) => {
  const issuer = await createIssuer();
  const { dir, config } = issuer;
  const file = `${dir}/config.toml`;
  const good = await testCertificate();
  const past = await testCertificate([20, 21]);
  const future = await testCertificate([48, 49]);
  const tls = `tls_cert = "${dir}/cert.pem"\ntls_key = "${dir}/key.pem"\n`;
  const other_key = { cert: good.cert, key: future.key };
  const cases = [
    ["shield", "server", past, /ended on 2021-12-31/],
    ["shield", "server", other_key, /tls_key is of another certificate/],
    ["brain", "ops", future, /good from 2048-01-01 on/],
    ["serve", "server", other_key, /tls_key is of another certificate/],
    ["brain", "nats", past, /ended on 2021-12-31/],
    ["shield", "nats", future, /good from 2048-01-01 on/],
    ["serve", "quota", past, /ended on 2021-12-31/],
  ] as const;
  await using _end = atEnd(() => Deno.remove(dir, { recursive: true }));
  for (const [program, table, pair, cause] of cases) {
    await t.step(`${program}: ${cause.source}`, async () => {
      const of = (name: string) => table === name ? tls : "";
      const shown = tls.replaceAll(/(tls_\w+) /g, "$1_file ");
      const nats = table === "nats" ? `${NATS}${shown}` : program === "brain" ? NATS : "";
      const quota = table === "quota" ? `[quota]\nurl = "rediss://127.0.0.1:1"\n${shown}` : "";
      const text = `${OPS}${of("ops")}${PORTS}${OPERATORS}${nats}${quota}${SERVER}${
        of("server")
      }${config}`;
      await Deno.writeTextFile(file, text);
      await Deno.writeTextFile(`${dir}/cert.pem`, pair.cert);
      await Deno.writeTextFile(`${dir}/key.pem`, pair.key);
      const { code, stderr } = program === "serve"
        ? await runArq(["serve", "--config", file], { cwd: dir })
        : await ended(startTask(program, file));
      assert.equal(code, 1, stderr);
      const lines = stderr.split("\n").filter((line) => cause.test(line));
      assert.deepEqual(lines.length, 1, stderr);
      assert.ok(
        lines[0]?.includes(
          `[${table}] ${/nats|quota/.test(table) ? "tls_cert_file" : "tls_cert"}: `,
        ),
        stderr,
      );
      assert.doesNotMatch(stderr, /ready|^\s+at |PRIVATE/m);
      const check = await runArq(["config", "check", file], { cwd: dir });
      assert.match(check.stdout, cause);
      assert.equal(check.code, 1);
    });
  }
});

const NO_OPERATORS_PORTS = "[server]\nport = 0\n[ops]\nport = 0\n";
const LINE = 'operator_tenants = ["ops"]';
const REFUSED =
  /admin\.operator_tenants: missing; expected .*several.* the line operator_tenants = \["ops"\]/;

Deno.test("shield, arq serve and arq config check refuse it with the line to add, and start with it", async () => {
  await using issuer = await createIssuer();
  const without = `${issuer.dir}/without.toml`;
  const having = `${issuer.dir}/having.toml`;
  await Deno.writeTextFile(without, `${NO_OPERATORS_PORTS}[admin]\nport = 0\n${issuer.config}`);
  await Deno.writeTextFile(
    having,
    `${NO_OPERATORS_PORTS}[admin]\nport = 0\n${LINE}\n${issuer.config}`,
  );
  const refusals = [
    await ended(startTask("shield", without)),
    await runArq(["serve", "--config", without], { cwd: issuer.dir }),
  ];
  for (const { code, stderr } of refusals) {
    assert.equal(code, 2, stderr);
    assert.match(stderr, REFUSED);
  }
  const wrong = await runArq(["config", "check", without], { cwd: issuer.dir });
  assert.equal(wrong.code, 1);
  assert.match(wrong.stdout, REFUSED);
  succeeds(await runArq(["config", "check", having], { cwd: issuer.dir }));
  const serving = await startArq(["serve", "--config", having], { cwd: issuer.dir });
  await serving.says('msg="ready"');
  const admin_url = /admin_url="?(http:[^\s"]+)/.exec(serving.stderr())?.[1] ?? "";
  const access = async (tenant_id: string) => {
    const token = await issuer.tokenFor({ tenant_id, role: "admin" });
    return await new AdminClient(admin_url, token).read("/v1/access");
  };
  assert.equal((await access("ops")).operator, true);
  assert.equal((await access("acme")).operator, false);
  serving.child.kill("SIGTERM");
  assert.equal((await serving.result()).code, 0);
});

Deno.test("the configuration of arq init has it", async () => {
  await using folder = await temporaryFolder();
  succeeds(await runArq(["init", folder.path, "--no-context"], { cwd: folder.path }));
  const text = await Deno.readTextFile(`${folder.path}/config.toml`);
  assert.match(text, /^\[admin\]\n(?:.*\n)*?operator_tenants = \["default"\]$/m);
  // An additional tenant needs nothing else: its admins are not operators.
  const more = text.replace(
    'tenants = ["default"]\nroles',
    'tenants = ["default", "acme"]\nroles',
  );
  assert.notEqual(more, text);
  await Deno.writeTextFile(`${folder.path}/config.toml`, more);
  succeeds(await runArq(["config", "check", "config.toml"], { cwd: folder.path }));
});
