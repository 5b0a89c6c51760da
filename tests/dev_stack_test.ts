/**
 * `arq dev up` with the compose stack, and later commands without options: a stand-in for the command `docker` starts
 * the real servers with the files of compose.yaml (`compose_stand_in/`), since no Docker daemon runs here. Jaeger,
 * Grafana and the exporters are missing, and are reported as such.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { decodeJwt } from "@panva/jose";
import { runArq, startArq, succeeds } from "../arq/testing/run_arq.ts";
import type { ArqProcess, ArqResult } from "../arq/testing/run_arq.ts";
import { until } from "../shared/testing/until.ts";
import { ROOT } from "../tasks/checkout/source_files.ts";
import { standInFor } from "./compose_stand_in/place.ts";

interface Stack extends AsyncDisposable {
  readonly path: string;
  readonly env: Readonly<Record<string, string>>;
  arq(...args: string[]): Promise<ArqResult>;
  arqIn(cwd: string, ...args: string[]): Promise<ArqResult>;
  start(...args: string[]): Promise<ArqProcess>;
  /** JSON of a command that must succeed. */
  // deno-lint-ignore no-explicit-any
  json(...args: string[]): Promise<any>;
}

/** An empty folder, a home without contexts, and the stand-in for `docker`. */
async function place(): Promise<Stack> {
  const base = await Deno.makeTempDir({ prefix: "arqon stack-" });
  const path = join(base, "work");
  await Deno.mkdir(path);
  const env = await standInFor(base);
  const arqIn = (cwd: string, ...args: string[]) =>
    runArq(args, { cwd, config_home: join(base, "config"), env });
  const arq = (...args: string[]) => arqIn(path, ...args);
  return {
    path,
    env,
    arq,
    arqIn,
    start: (...args) => startArq(args, { cwd: path, config_home: join(base, "config"), env }),
    json: async (...args) => JSON.parse(succeeds(await arq(...args))),
    async [Symbol.asyncDispose]() {
      await arq("dev", "reset", "--yes");
      await Deno.remove(base, { recursive: true });
    },
  };
}

const PORTS = ["--port", "0", "--ops-port", "0", "--admin-port", "0"];

// deno-lint-ignore no-explicit-any
async function isUp({ path, json }: Stack, up: any): Promise<void> {
  assert.deepEqual([up.kind, up.context, up.tenant], ["compose", "compose", "default"]);
  const context = await json("context", "show", "--json");
  assert.deepEqual([context.name, context.url, context.issuer], ["compose", up.url, "arqon-dev"]);
  assert.equal(context.key, join(path, ".arqon", "dev-key.json"));
  assert.equal((await Deno.stat(context.key)).mode! & 0o777, 0o600);
  // The containers see only the public part.
  const jwks = await Deno.readTextFile(join(path, ".arqon/dev/issuer/arqon-jwks.json"));
  assert.equal(JSON.parse(jwks).keys[0].d, undefined);
}

// deno-lint-ignore no-explicit-any
async function talks({ arq, json }: Stack, up: any): Promise<void> {
  succeeds(await arq("pub", "orders", '{"item":"tea"}'));
  const got = await json("sub", "orders", "--from", "0", "--count", "1", "--json");
  assert.deepEqual(got.data, { item: "tea" });
  succeeds(await arq("pub", "--context", "dev", "orders", "again"));
  succeeds(await arq("pub", "--url", up.url, "orders", "again"));
  const token = succeeds(await arq("auth", "gen", "--role", "admin")).trim();
  assert.equal(decodeJwt(token).iss, "arqon-dev");
  const headers = { authorization: `Bearer ${token}` };
  const access = await fetch(`${up.admin_url}/v1/access`, { headers });
  assert.equal(access.status, 200, await access.text());
  const page = await fetch(`${up.admin_url}/console/`);
  assert.match(await page.text(), /ArqonBus/);
}

async function isTailed({ arq, start }: Stack): Promise<void> {
  const { child } = await start("tail", "lobby", "--json");
  let output = "";
  const reading = child.stdout.pipeThrough(new TextDecoderStream()).pipeTo(
    new WritableStream({ write: (text) => void (output += text) }),
  );
  await until(() => output, async () => {
    if (output.includes("to be tailed")) return true;
    succeeds(await arq("pub", "lobby", "to be tailed"));
    return false;
  });
  child.kill("SIGINT");
  await Promise.all([reading, child.status]);
}

async function isSeen({ arq, json, env }: Stack): Promise<void> {
  const status = await json("status", "--json");
  assert.equal(status.ready, true);
  assert.equal(status.cluster.nodes.length, 2);
  assert.equal(typeof status.status.connections, "number");
  const found = Object.fromEntries(
    status.services.map((
      one: { service: string; state: string; health: string },
    ) => [one.service, `${one.state} ${one.health}`]),
  );
  assert.deepEqual(found, {
    brain: "running healthy",
    grafana: "created none",
    jaeger: "created none",
    keys: "exited none",
    nats: "running healthy",
    "nats-exporter": "created none",
    prometheus: "running healthy",
    shield: "running healthy",
    valkey: "running healthy",
    "valkey-exporter": "created none",
  });
  const text = succeeds(await arq("status"));
  assert.match(
    text,
    new RegExp(`prometheus +running +healthy +127.0.0.1:${env["ARQON_PROMETHEUS_PORT"]}`),
  );
  assert.match(text, /grafana +created\n/);
  assert.match(text, /shield shield +ready +\d+/);
  assert.doesNotMatch(text, /WARNING/);
  const doctor = await json("doctor", "--json");
  const checks = doctor.findings.map((one: { check: string; status: string }) =>
    `${one.check} ${one.status}`
  );
  for (const check of ["bus ok", "user token ok", "admin token ok", "context key ok"]) {
    assert.ok(checks.includes(check), JSON.stringify(doctor.findings));
  }
  const dev = await json("dev", "status", "--json");
  assert.deepEqual([dev.running, dev.kind, dev.services.length], [true, "compose", 10]);
  assert.match(succeeds(await arq("dev", "logs")), /shield-1 +\| .*msg="?ready/);
}

Deno.test("after arq dev up with the compose stack, every command uses it, until down", async (t) => {
  await using stack = await place();
  const { arq, json } = stack;
  const up = await json("dev", "up", ...PORTS, "--json");
  await t.step("a context with addresses and key", () => isUp(stack, up));
  await t.step("pub, sub, auth gen and the console work", () => talks(stack, up));
  await t.step("tail follows a room", () => isTailed(stack));
  await t.step("status, doctor, dev status and logs show it", () => isSeen(stack));
  await t.step("up again leaves it unchanged", async () => {
    const again = await json("dev", "up", "--json");
    assert.deepEqual([again.url, again.context], [up.url, up.context]);
    assert.equal((await json("context", "list", "--json")).contexts.length, 1);
  });
  await t.step("a service that ends is reported", async () => {
    const state = JSON.parse(await Deno.readTextFile(`${stack.env["STAND_IN_DIR"]}/state.json`));
    Deno.kill(state.prometheus.pid, "SIGKILL");
    let last = "";
    await until(() => last, async () => {
      const { services } = await json("status", "--json");
      last = JSON.stringify(services);
      const one = services.find(({ service }: { service: string }) => service === "prometheus");
      return one.state === "exited" && one.exit_code === 137;
    });
  });
  await t.step("down removes the context", async () => {
    assert.match(
      (await arq("dev", "down")).stderr,
      /the compose stack of .*compose\.yaml has ended/,
    );
    assert.deepEqual((await json("context", "list", "--json")).contexts, []);
    // Without it, a development bus of the checkout is used, if one runs: it may be another test's.
    const status = await arq("status");
    assert.ok(!`${status.stdout}${status.stderr}`.includes(up.ops_url), status.stdout);
  });
});

Deno.test("in a folder of arq init the stack counts while it runs, then the folder's own bus again", async () => {
  await using stack = await place();
  const { arq, json } = stack;
  succeeds(await arq("init"));
  await json("dev", "up", ...PORTS, "--json");
  assert.equal((await json("context", "show", "--json")).name, "compose");
  succeeds(await arq("pub", "lobby", "hello"));
  succeeds(await arq("dev", "down"));
  assert.equal((await json("context", "show", "--json")).name, "local");
});

Deno.test("another compose file is started; without our key in its Shield the context has none", async () => {
  await using stack = await place();
  const { arq, json, path } = stack;
  const text = await Deno.readTextFile(`${ROOT}compose.yaml`);
  // As a user's own file: its mounts are elsewhere, and its Shield has the key of the volume.
  const own = text.replaceAll("- ./deploy/", `- ${ROOT}deploy/`)
    .replace("${ARQON_ISSUER_DIR:-issuer}", "issuer");
  await Deno.writeTextFile(join(path, "own.yaml"), own);
  const up = await arq("dev", "up", "--compose", "own.yaml", ...PORTS);
  assert.match(succeeds(up), /tokens +none: the context has no key/);
  assert.match(up.stderr, /its Shield refuses the key of this folder: .*\n.*ARQON_ISSUER_DIR/);
  assert.equal((await json("context", "show", "--json")).key, null);
  const pub = await arq("pub", "lobby", "hello");
  assert.equal(pub.code, 3);
  assert.match(pub.stderr, /context compose has neither a key nor a token file\n.*--token-file/);
  const gen = await arq("auth", "gen");
  assert.equal(gen.code, 1);
  assert.match(gen.stderr, /context compose has no key to sign with/);
  assert.equal((await json("status", "--json")).services.length, 10);

  // A second stack would replace the first: the second folder shows whose stack runs.
  const second = join(path, "..", "second");
  await Deno.mkdir(second);
  const refused = await stack.arqIn(second, "dev", "up");
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /the compose stack of .*work runs: ws:.*\n.*arq dev down in .*work/);
});

Deno.test("a stack with a part that does not start is an error that names it, and running parts can be queried", async () => {
  await using stack = await place();
  const { arq, json, path } = stack;
  const text = await Deno.readTextFile(`${ROOT}compose.yaml`);
  const own = text.replaceAll("- ./deploy/", `- ${ROOT}deploy/`)
    .replace(`${ROOT}deploy/compose/prometheus.yml`, "./broken.yml");
  await Deno.writeTextFile(join(path, "own.yaml"), own);
  await Deno.writeTextFile(join(path, "broken.yml"), "scrape_intervall: 5s\n");
  const up = await arq("dev", "up", "--compose", "own.yaml", ...PORTS);
  assert.equal(up.code, 1);
  assert.match(up.stderr, /prometheus +exited \(137\)/);
  assert.match(up.stderr, /docker compose ended with 1\n.*arq dev logs/);
  succeeds(await arq("pub", "lobby", "hello"));
  assert.equal((await json("dev", "status", "--json")).running, true);
  assert.match((await arq("dev", "down")).stderr, /has ended/);
});
