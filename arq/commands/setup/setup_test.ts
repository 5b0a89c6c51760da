/**
 * From an empty folder to a bus of one's own, as real processes: `arq init`, a bus with that configuration, `arq pub`
 * without options, contexts, `arq doctor`. `contexts_test.ts`, `config_explain_test.ts` and `doctor/` have the rules
 * that need no bus.
 */
import assert from "node:assert/strict";
import { decodeJwt } from "@panva/jose";
import { startBus, type TestBus } from "../../../tests/harness/bus.ts";
import { folderWith } from "../../testing/disk_io.ts";
import { type ArqResult, exits, runArq, succeeds } from "../../testing/run_arq.ts";

/** A home with contexts and a folder of `arq init`, and a function that runs `arq` in it. */
interface Place {
  readonly cwd: string;
  readonly config_home: string;
  run(...args: string[]): Promise<ArqResult>;
}

function placeIn(folder: string): Place {
  const cwd = `${folder}/bus`;
  const config_home = `${folder}/config`;
  return { cwd, config_home, run: (...args) => runArq(args, { cwd, config_home }) };
}

const portOf = (url: string) => new URL(url).port;
const findings = (result: ArqResult): { check: string; status: string; text: string }[] =>
  JSON.parse(result.stdout).findings;

async function initialize(folder: string): Promise<Place> {
  const place = placeIn(folder);
  const { cwd, config_home } = place;
  const made = succeeds(await runArq(["init", cwd, "--json"], { cwd: folder, config_home }));
  const { files, context, next } = JSON.parse(made);
  assert.equal(context, "local");
  assert.deepEqual(next.slice(0, 2), [`cd ${cwd}`, "deno task -q arq serve --config config.toml"]);
  for (const file of files) assert.ok((await Deno.stat(`${cwd}/${file}`)).size > 0, file);
  if (Deno.build.os !== "windows") {
    const { mode } = await Deno.stat(`${cwd}/keys/arqon-private.jwk.json`);
    assert.equal(mode! & 0o777, 0o600);
  }
  return place;
}

/** The written files are valid, accepted, and match their sources. */
async function isWhole({ cwd, run }: Place): Promise<void> {
  const check = await run("config", "check", "config.toml", "--json");
  assert.deepEqual(JSON.parse(check.stdout), { file: "config.toml", valid: true, problems: [] });
  const policy = await run("policy", "check", "policies/content_size.wasm", "--json");
  assert.equal(JSON.parse(policy.stdout).accepted, true, policy.stderr);
  succeeds(await run("policy", "build", "policies/content_size.ts", "-o", "new.wasm"));
  succeeds(await run("schema", "build", "schemas/order.proto", "-o", "new.binpb.gz"));
  for (
    const [one, other] of [["policies/content_size.wasm", "new.wasm"], [
      "schemas/order.binpb.gz",
      "new.binpb.gz",
    ]]
  ) {
    assert.deepEqual(await Deno.readFile(`${cwd}/${one}`), await Deno.readFile(`${cwd}/${other}`));
  }
}

async function keepsWhatIsThere({ cwd, run }: Place): Promise<void> {
  const key = await Deno.readTextFile(`${cwd}/keys/arqon-private.jwk.json`);
  const jwks = await Deno.readTextFile(`${cwd}/keys/arqon-jwks.json`);
  await Deno.remove(`${cwd}/README.md`);
  const again = await run("init");
  assert.equal(again.code, 1);
  assert.match(again.stderr, /has config\.toml, .*already; nothing was written\n.*--force/);
  await assert.rejects(Deno.stat(`${cwd}/README.md`));
  succeeds(await run("init", "--force"));
  assert.equal(await Deno.readTextFile(`${cwd}/keys/arqon-private.jwk.json`), key);
  assert.deepEqual(
    JSON.parse(await Deno.readTextFile(`${cwd}/keys/arqon-jwks.json`)),
    JSON.parse(jwks),
  );
  assert.equal(JSON.parse((await run("context", "list", "--json")).stdout).contexts.length, 1);
}

Deno.test("init keeps the user's files, and its context follows the kept configuration", async () => {
  const readme = "# Our shop\n";
  await using folder = await folderWith({ "shop/README.md": readme, "shop/.gitignore": "/dist/" });
  const cwd = `${folder.path}/shop`;
  const options = { cwd, config_home: `${folder.path}/home`, env: { ARQON_CALLED_AS: "npx arq" } };
  const init = async (...flags: string[]) => {
    const stdout = succeeds(await runArq(["init", "--json", ...flags], options));
    return JSON.parse(stdout);
  };
  const read = (path: string) => Deno.readTextFile(`${cwd}/${path}`);
  const contexts = async () =>
    JSON.parse((await runArq(["context", "list", "--json"], options)).stdout).contexts;
  const first = await init("--port", "5000");
  assert.deepEqual(first.kept, ["README.md"]);
  assert.equal(await read("README.md"), readme);
  const ignored = await read(".gitignore");
  assert.match(ignored, /^\/dist\/\n# .*\n\/keys\/\*-private\.jwk\.json\n/);
  // The commands in the folder can be pasted by users of the npm package.
  assert.match(await read("config.toml"), /^# {3}npx arq serve --config config\.toml/m);
  assert.doesNotMatch(await read("config.toml"), /^#.*(?<!npx )\barq [a-z]/m);
  // Files unchanged since init are rewritten, and so is the context, even with --no-context.
  const second = await init("--force", "--port", "6000", "--no-context");
  assert.deepEqual(second.kept, ["README.md", ".gitignore"]);
  assert.deepEqual(await read(".gitignore"), ignored);
  assert.match(await read("config.toml"), /^port = 6000$/m);
  assert.deepEqual((await contexts()).map(({ url }: { url: string }) => url), [
    "ws://127.0.0.1:6000",
  ]);
  // A changed file belongs to the user, and so do added public keys.
  const own = (await read("config.toml")).replace("port = 6000", "port = 7000")
    .replace("history_size = 10_000", "history_size = 20");
  await Deno.writeTextFile(`${cwd}/config.toml`, own);
  await Deno.writeTextFile(`${cwd}/policies/content_size.ts`, "// ours\n");
  const { keys } = JSON.parse(await read("keys/arqon-jwks.json"));
  const all = { keys: [{ ...keys[0], kid: "next" }, ...keys] };
  await Deno.writeTextFile(`${cwd}/keys/arqon-jwks.json`, JSON.stringify(all));
  const again = await init("--force", "--port", "8000");
  const { kept } = again;
  assert.deepEqual(kept, ["config.toml", "policies/content_size.ts", "README.md", ".gitignore"]);
  assert.equal(await read("config.toml"), own);
  assert.deepEqual(JSON.parse(await read("keys/arqon-jwks.json")), all);
  const [{ url, ops_url, admin_url }, ...more] = await contexts();
  assert.deepEqual([url, ops_url, admin_url, more], [
    ...["ws://127.0.0.1:7000", "http://127.0.0.1:4001", "http://127.0.0.1:4002"],
    [],
  ]);
  await Deno.writeTextFile(`${cwd}/config.toml`, "[server]\nport = 0.5\n");
  const wrong = await runArq(["init", "--force"], options);
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /config\.toml:2:\d+ server\.port.*\n.*nothing was written/);
});

/** A real bus with the folder's configuration, on free ports. */
async function serve({ cwd, run }: Place): Promise<TestBus> {
  const text = (await Deno.readTextFile(`${cwd}/config.toml`))
    .replace('"keys/', `"${cwd}/keys/`).replace('data_dir = "data"', "");
  const file = `${cwd}/served.toml`;
  await Deno.writeTextFile(file, text);
  const bus = await startBus(["--config", file, "--data-dir", `${cwd}/data`]);
  await Deno.remove(file);
  // As `arq init --port …` would have written them.
  const ports = [bus.url, bus.ops_url, bus.admin_url].map(portOf);
  const init = ["init", "--force", "--port", ports[0], "--ops-port", ports[1], "--admin-port"];
  succeeds(await run(...init as string[], ports[2] as string));
  return bus;
}

async function justWorks({ run }: Place): Promise<void> {
  const pub = await run("pub", "orders", '{"item":"tea"}');
  assert.equal(pub.code, 0, pub.stderr);
  const sub = await run("sub", "orders", "--from", "0", "--count", "1");
  assert.deepEqual([sub.code, sub.stdout], [0, '{"item":"tea"}\n'], sub.stderr);
  const status = await run("status", "--json");
  assert.equal(JSON.parse(status.stdout).ready, true, status.stderr);
  succeeds(await run("policy", "deploy", "policies/content_size.wasm", "--room", "chat-*"));
  const big = await run("pub", "chat-1", "x".repeat(5_000));
  assert.match(big.stderr, /5000 bytes; at most 4096 here/);
  succeeds(await run("schema", "push", "schemas/order.binpb.gz", "--id", "shop"));
  const shown = await run("context", "show", "--json");
  assert.match(JSON.parse(shown.stdout).why, /it is the one of the folder/);
}

async function isHealthy({ cwd, run }: Place): Promise<void> {
  const result = await run("doctor", "--json");
  assert.equal(result.code, 0, result.stdout + result.stderr);
  const by_check = Object.fromEntries(findings(result).map((one) => [one.check, one]));
  for (const check of ["client port", "ops port", "admin port"]) {
    assert.match(by_check[check]?.text ?? "", /an ArqonBus serves on/, check);
  }
  for (const check of ["bus", "user token", "admin token", "context key", "keys", "clock"]) {
    assert.equal(by_check[check]?.status, "ok", `${check}: ${by_check[check]?.text}`);
  }
  assert.match(by_check["clock"]?.text ?? "", /agrees with/);
  assert.match(by_check["data_dir"]?.text ?? "", /is in use by an ArqonBus that runs/);
  const key = JSON.parse(await Deno.readTextFile(`${cwd}/keys/arqon-private.jwk.json`));
  assert.ok(!result.stdout.includes(key.d.slice(0, 40)) && !/eyJ/.test(result.stdout));
}

/** A second context whose token is from a file: expired, then valid. */
async function tokenFiles(place: Place, bus: TestBus): Promise<void> {
  const { cwd, run } = place;
  await Deno.writeTextFile(
    `${cwd}/admin.jwt`,
    await bus.tokenFor({ role: "admin", ttl_seconds: -99 }),
  );
  const where = ["--url", bus.url, "--admin-url", bus.admin_url, "--ops-url", bus.ops_url];
  const add = await run("context", "add", "prod", ...where, "--token-file", "admin.jwt", "--use");
  assert.match(add.stdout, /It is in use\.\nIn this folder local is used/, add.stderr);
  for (const args of [["policy", "list"], ["top", "--count", "1"], ["status"], ["pub", "a", "1"]]) {
    const { code, stderr } = await run(...args, "--context", "prod");
    assert.equal(code, 3, `${args}: ${stderr}`);
    assert.match(
      stderr,
      /expired.*401 token-expired\)\n {5}context prod reads it from .*admin\.jwt; put/,
    );
    assert.doesNotMatch(stderr, /eyJ/);
  }
  const ill = await run("doctor", "--context", "prod", "--json");
  const admin = findings(ill).find(({ check }) => check === "admin token");
  assert.deepEqual([ill.code, admin?.status], [1, "fail"], admin?.text);
  await Deno.writeTextFile(`${cwd}/admin.jwt`, await bus.tokenFor({ role: "admin" }));
  // Outside of the folder the context in use applies; the option also works before the command.
  succeeds(await runArq(["policy", "list"], { config_home: place.config_home, cwd: "/" }));
  const before = await runArq(["--context", "nope", "status"], { config_home: place.config_home });
  assert.deepEqual([before.code, before.stdout], [2, ""]);
  assert.match(before.stderr, /no context "nope"\n {5}there are local, prod, dev/);
}

/** The context's tenant is that of tokens and of `--tenant`. */
async function tenants({ run }: Place): Promise<void> {
  succeeds(
    await run(
      "context",
      "add",
      "other",
      "--url",
      "ws://127.0.0.1:1",
      "--tenant",
      "acme",
    ),
  );
  const keyless = await run("pub", "lobby", "1", "--context", "other");
  assert.match(keyless.stderr, /context other has neither a key nor a token file/);
  const key = ["--key", "keys/arqon-private.jwk.json", "--issuer", "me", "--audience", "it"];
  assert.equal((await run("context", "add", "other", "--update", ...key)).code, 0);
  const gen = await run("auth", "gen", "--context", "other", "--role", "admin");
  const claims = decodeJwt(gen.stdout.trim());
  assert.deepEqual([claims.iss, claims.aud, claims["tenant_id"]], ["me", "it", "acme"]);
  const twice = await run("context", "add", "other", "--url", "ws://a");
  assert.match(twice.stderr, /context other exists already\n.*--update/);
  assert.match((await run("policy", "list", "--context", "other")).stderr, /has no admin URL/);
  assert.equal(
    (await run("context", "remove", "prod")).stdout,
    "prod removed; no context is in use now\n",
  );
  assert.match((await run("context", "list")).stdout, /^ {2}local .*\n {2}other .*\n$/);
}

Deno.test("an empty folder becomes a bus that commands in it find, and doctor finds nothing wrong", async (t) => {
  await using folder = await folderWith({});
  const place = await initialize(folder.path);
  await t.step("what init writes is valid and what its sources make", () => isWhole(place));
  await t.step(
    "nothing is overwritten; with --force all but the key",
    () => keepsWhatIsThere(place),
  );
  await using bus = await serve(place);
  await t.step("pub, sub, policies and schemas work without options", () => justWorks(place));
  await t.step("doctor finds nothing, and prints no secret", () => isHealthy(place));
  await t.step("an expired token is reported with its context", () => tokenFiles(place, bus));
  await t.step("a context's tenant counts; contexts can go", () => tenants(place));
});

Deno.test("config check names every problem; wrong names and files have different errors", async () => {
  await using folder = await folderWith({
    "config.toml": '[server]\nprot = 1\n[policy]\ntimeout_ms = "5"\n',
  });
  const run = (...args: string[]) => runArq(args, { cwd: folder.path });
  const check = await run("config", "check", "config.toml");
  assert.equal(check.code, 1);
  assert.match(
    check.stdout,
    /^config\.toml:2:1 server\.prot: .*"port".*\nconfig\.toml:4:14 policy/,
  );
  const json = JSON.parse((await run("config", "check", "config.toml", "--json")).stdout);
  assert.deepEqual(
    json.problems.map(({ line, key }: { line: number; key: string }) => [line, key]),
    [[2, "server.prot"], [4, "policy.timeout_ms"]],
  );
  const doctor = await run("doctor");
  assert.equal(doctor.code, 1);
  assert.match(
    doctor.stdout,
    /FAIL {2}configuration .*server\.prot.*\(and 1 more\)\n.*arq config check/,
  );
  const cases: [string[], number, RegExp][] = [
    [["config", "check", "gone.toml"], 1, /cannot read .*gone\.toml/],
    [["config", "explain", "server.prot"], 2, /there is no key or table .*\n.*server\.port\?/],
    [["config", "explain", "enabled"], 2, /several keys\n.*platform\.registry\.enabled/],
    [["init", "config.toml"], 1, /cannot write to .*config\.toml/],
    [["init", "--port", "0"], 2, /a port from 1 to 65535/],
    [["context", "use", "prod"], 2, /there are none: arq context add/],
    [["context", "add", "prod"], 2, /--url is missing/],
    [["context", "show", "--context", "prod"], 2, /no context "prod"/],
    [["context", "add", "dev", "--url", "ws://a"], 2, /names the running development bus/],
  ];
  for (const [args, code, expected] of cases) {
    const options = { cwd: folder.path, config_home: `${folder.path}/home` };
    assert.match((await exits(code, args, options)).stderr, expected, args.join(" "));
  }
  const schema = JSON.parse((await run("config", "schema", "--json")).stdout);
  assert.equal(schema.title, "ArqonBus config.toml");
  const explained = JSON.parse((await run("config", "explain", "drain_ms", "--json")).stdout);
  assert.deepEqual([explained.key, explained.default], ["server.drain_ms", 5_000]);
  assert.equal(explained.live, true);
});

Deno.test("init carries a configuration of Centrifugo over from each of its forms", async () => {
  const yaml = `client:
  allowed_origins: [https://a.example.com]
channel:
  without_namespace:
  namespaces:
    - {name: chat, history_size: 10, history_ttl: 60s, presence: true}
`;
  const toml = `[client]
allowed_origins = ["https://a.example.com"]
[[channel.namespaces]]
name = "chat"
history_size = 10
history_ttl = "60s"
presence = true
`;
  const chat = { name: "chat", history_size: 10, history_ttl: "60s", presence: true };
  const client = { allowed_origins: ["https://a.example.com"] };
  const json = JSON.stringify({ client, channel: { namespaces: [chat] } });
  const files = {
    "c.json": `\ufeff${json}`,
    "c.yaml": yaml,
    "c.YML": yaml,
    "c.toml": toml,
    "c": json,
  };
  const others = { "a.json": "{", "a.yaml": "a: [", "a.toml": "a =", "b.yaml": "- a", "b.yml": "" };
  await using folder = await folderWith({ ...files, ...others });
  const options = { cwd: folder.path, config_home: `${folder.path}/home` };
  const init = (file: string, dir: string) =>
    runArq(["init", dir, "--from-centrifugo", file, "--no-context", "--json"], options);
  const results: unknown[] = [];
  for (const file of Object.keys(files)) {
    const { code, stdout, stderr } = await init(file, `from-${file}`);
    assert.equal(code, 0, stderr);
    const { carried, left } = JSON.parse(stdout);
    results.push({ carried, left });
    const check = { ...options, cwd: `${folder.path}/from-${file}` };
    const { code: wrong, stdout: output } = await runArq(["config", "check", "config.toml"], check);
    assert.equal(wrong, 0, output);
  }
  assert.deepEqual(results, results.map(() => results[0]));
  for (const file of Object.keys(others)) {
    const { code, stdout, stderr } = await init(file, "none");
    assert.equal(code, 1);
    assert.match(stdout + stderr, /(JSON|YAML|TOML).*nothing was written/, file);
  }
  await assert.rejects(Deno.stat(`${folder.path}/none`));
});
