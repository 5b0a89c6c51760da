/**
 * The second half of `deno task images`, in separate namespaces (`main.ts`): runs our images as compose.yaml does, and
 * inspects them as a user would, with the image of `arq`. Its argument is the folder with buildah's store. Exits with 1
 * at the first failure.
 */
import assert from "node:assert/strict";
import { until } from "../../shared/testing/until.ts";
import { ROOT } from "../../tasks/checkout/source_files.ts";
import { buildahIn, openImage } from "./buildah.ts";
import type { Container } from "./container.ts";
import { Stack } from "./stack.ts";

const SERVERS = ["brain", "shield"] as const;
const KEY = [
  "--key",
  "/keys/arqon-private.jwk.json",
  "--issuer",
  "arqon-dev",
  "--audience",
  "arqon",
];
/** As in deploy/docker/*.Dockerfile and docs/deploy.md. */
const USER = "65532";
/** Lines of a server's log that are printed after a failure. */
const LAST_LINES = 20;

const say = (line: string) =>
  console.log(`           ${line.trimEnd().replaceAll("\n", "\n           ")}`);

/** Runs `arq` in a container of its image until it ends; returns its output. */
async function arq(stack: Stack, args: readonly string[], expected = 0): Promise<string> {
  const { code, text } = await stack.run("arq", args).ended();
  assert.equal(code, expected, `arq ${args.join(" ")}: ${text}`);
  return text;
}

/** Runs `arq status` until everything is ready; returns its output. */
async function statusOf(stack: Stack, bus: readonly string[]): Promise<string> {
  let last = "";
  await until(() => last, async () => {
    const { code, text } = await stack.run("arq", ["status", ...bus]).ended();
    last = text;
    return code === 0;
  });
  assert.match(last, /^ready /);
  assert.doesNotMatch(last, /WARNING/);
  return last;
}

/** The image's user, no capability, no way to get one, and a read-only root. */
function isConfined({ pid, root }: Container): void {
  const status = Deno.readTextFileSync(`/proc/${pid}/status`);
  const of = (name: string) => new RegExp(`^${name}:[ \t]*(.*?)[ \t]*$`, "m").exec(status)?.[1];
  assert.equal(root.config.User, `${USER}:${USER}`);
  for (const name of ["Uid", "Gid"]) assert.equal(of(name), Array(4).fill(USER).join("\t"));
  assert.deepEqual(["Groups", "CapPrm", "CapEff", "NoNewPrivs"].map(of), [
    "",
    "0".repeat(16),
    "0".repeat(16),
    "1",
  ]);
  const mounts = Deno.readTextFileSync(`/proc/${pid}/mountinfo`);
  assert.match(mounts, /^\d+ \d+ \S+ \S+ \/ ro[, ]/m);
}

/** The health checks of the image and of compose.yaml pass, and fail while the process is stopped. */
async function healthIsSeen(container: Container, compose: readonly string[]): Promise<void> {
  for (const test of [container.root.config.Healthcheck?.Test ?? [], compose]) {
    await until(test.join(" "), () => container.isHealthy(test));
    container.signal("SIGSTOP");
    assert.equal(await container.isHealthy(test), false, test.join(" "));
    container.signal("SIGCONT");
  }
}

/** Each program prints its version, without a network and without a file of compose.yaml. */
async function versions(stack: Stack): Promise<void> {
  const { version } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));
  for (const name of [...SERVERS, "arq"]) {
    const { code, text } = await stack.run(name, ["--version"]).ended();
    assert.deepEqual([code, text.split(/\s+/).includes(version)], [0, true], `${name}: ${text}`);
  }
}

/** What the Shield starts by name and imports nowhere: the compile child process, workers and threads. */
async function governs(stack: Stack, bus: readonly string[], client: readonly string[]) {
  const module = "/data/bad_words.wasm";
  await arq(stack, ["policy", "build", "policies/examples/bad_words.ts", "-o", module]);
  say(await arq(stack, ["policy", "deploy", module, "--room", "lobby", ...bus]));
  await arq(stack, ["pub", "lobby", "hello", ...client]);
  say(await arq(stack, ["pub", "lobby", "malware", ...client], 5));
  await arq(stack, ["init", "/data/bus"]);
  const schema = "/data/bus/schemas/order.binpb.gz";
  say(await arq(stack, ["schema", "push", schema, "--id", "orders", ...bus]));
}

/**
 * A client is notified of the end of the Shield's container, and gets what was published after the next one has
 * started.
 */
async function drains(stack: Stack, client: readonly string[]): Promise<void> {
  const sub = stack.run("arq", ["sub", "orders", "--from", "0", "--count", "2", ...client]);
  await arq(stack, ["pub", "orders", "first", ...client]);
  await until(() => sub.process.text, () => sub.process.text.includes("first"));
  assert.equal(await stack.stop("shield"), 0);
  await stack.start("shield");
  await arq(stack, ["pub", "orders", "second", ...client]);
  const { code, text } = await sub.ended();
  assert.equal(code, 0, text);
  // Messages and notices are two streams: between them there is no order.
  assert.match(text, /first\n[^]*second\n/);
  assert.match(text, /service-restart/);
  say(text);
}

/** `arq serve` in its image, with the files of `arq init` and absolute paths. */
async function serves(stack: Stack): Promise<void> {
  const config = stack.path("arq", "/data/bus/config.toml");
  const text = await Deno.readTextFile(config);
  await Deno.writeTextFile(config, text.replaceAll(/"(data|keys\/)/g, '"/data/bus/$1'));
  const bus = stack.run("arq", ["serve", "--config", "/data/bus/config.toml"]);
  await bus.process.until('msg="ready"');
  await statusOf(stack, ["--context", "local"]);
  isConfined(bus);
  await arq(stack, ["pub", "lobby", "hello", "--context", "local"]);
  assert.equal(await bus.stop(60_000), 0, bus.process.text);
  say("arq serve, on the embedded Spine: ready, a message, SIGTERM, 0");
}

/** The stand-in does not contain Grafana: this only checks that our image has the files that its settings name. */
async function grafanaHasDashboards(buildah: ReturnType<typeof buildahIn>, image: string) {
  const { path, config } = await openImage(buildah, image);
  const [, home] =
    config.Env.map((pair) => pair.split("=")).find(([name]) =>
      name === "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"
    ) ?? [];
  JSON.parse(await Deno.readTextFile(`${path}${home}`));
  assert.equal(config.User, "472:0");
}

async function all(stack: Stack): Promise<void> {
  await stack.prepare();
  await versions(stack);
  await stack.up(["shield"], say);
  for (const name of SERVERS) {
    const container = stack.containers.get(name);
    assert.ok(container !== undefined);
    isConfined(container);
    await healthIsSeen(container, stack.healthCheck(name));
    say(
      `${name}: uid ${USER}, no capability, read-only root; health checks pass, and fail when it stands still`,
    );
  }
  const token = (await arq(stack, ["auth", "gen", ...KEY, "--role", "admin"])).trim();
  const host = stack.address("shield", "clients");
  const client = ["--url", `ws://${host}:4000`, "--token", token];
  // By its address: the admin API accepts no name that its configuration does not list.
  const operator = ["--ops-url", `http://${host}:4001`, "--admin-url", `http://${host}:4002`];
  const bus = [...client, ...operator];
  say(await statusOf(stack, bus));
  await governs(stack, bus, client);
  await drains(stack, client);
  await statusOf(stack, bus);
  for (const name of SERVERS.toReversed()) {
    assert.equal(await stack.stop(name), 0);
    say(`${name}: SIGTERM, 0`);
  }
  await serves(stack);
}

if (import.meta.main) {
  const [dir = ""] = Deno.args;
  const buildah = buildahIn(dir);
  const stack = new Stack(buildah, dir);
  try {
    await grafanaHasDashboards(buildah, stack.services["grafana"].image);
    await all(stack);
  } catch (error) {
    for (const name of SERVERS) {
      const lines = stack.containers.get(name)?.process.text.split("\n") ?? [];
      console.error(lines.slice(-LAST_LINES).map((line) => `${name} | ${line}`).join("\n"));
    }
    console.error(error);
    Deno.exit(1);
  }
  // Whatever still runs ends with the namespace.
  Deno.exit(0);
}
