// The npm package in an empty folder: npm installs it, and then it needs nothing else.
import assert from "node:assert/strict";
import { basename, join } from "node:path";
import { packArqon } from "../../tasks/pack/pack_arqon.ts";
import { VERSION } from "../../shared/version.ts";
import { ensureNode } from "../packages/runtimes.ts";
import { standInFor } from "../compose_stand_in/place.ts";
import { smoke } from "./smoke_steps.ts";
import { installedTool, offline, run, type Tool } from "./tool.ts";

/** `arq dev --embedded` on free ports, until SIGTERM to the launcher, which `node` runs. */
async function developmentBus(tool: Tool, cwd: string, node: string): Promise<void> {
  const ports = ["--port", "--ops-port", "--admin-port"].flatMap((flag) => [flag, "0"]);
  const [, ...first] = tool.command;
  const child = new Deno.Command(node, {
    args: [...first, "dev", "--embedded", "--json", ...ports],
    cwd,
    env: offline(cwd),
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  let output = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    output += text;
    if (!output.includes("\n")) continue;
    const { url, token } = JSON.parse(output) as { url: string; token: string };
    const message = ["pub", "den", "hello", "--url", url, "--token", token];
    const { code, stderr } = await run([...tool.command, ...message], { cwd, env: offline(cwd) });
    assert.equal(code, 0, stderr);
    child.kill("SIGTERM");
    break;
  }
  assert.equal((await child.status).code, 0, "the end of arq dev");
}

/** A long output arrives completely, although its reader starts when the pipe is full. */
async function longOutput(tool: Tool, cwd: string, node: string): Promise<void> {
  const [, ...first] = tool.command;
  const command = [node, ...first, "man"];
  const options = { cwd, env: offline(cwd) };
  const direct = await run(command, options);
  assert.equal(direct.code, 0, direct.stderr);
  const slow = await run(["sh", "-c", '"$0" "$@" | { sleep 3; cat; }', ...command], options);
  assert.equal(slow.stdout, direct.stdout);
}

/** `arq dev up` in an empty folder: the compose file and everything that it mounts come with the package. */
async function composeStack(tool: Tool): Promise<void> {
  const base = await Deno.makeTempDir({ prefix: "arqon-npm-stack-" });
  const cwd = join(base, "work");
  await Deno.mkdir(cwd);
  const env = { ...offline(base), ...await standInFor(base) };
  const arq = (...args: string[]) => run([...tool.command, ...args], { cwd, env });
  const ports = ["--port", "--ops-port", "--admin-port"].flatMap((flag) => [flag, "0"]);
  try {
    const up = await arq("dev", "up", "--json", ...ports);
    assert.equal(up.code, 0, up.stderr);
    const file = join(cwd, ".arqon", "dev", "stack", "compose.yaml");
    assert.equal(JSON.parse(up.stdout).file, file);
    const text = await Deno.readTextFile(file);
    assert.match(text, new RegExp(`arqon-shield:\\$\\{ARQON_VERSION:-${VERSION}\\}`));
    assert.doesNotMatch(text, /build/);
    const pub = await arq("pub", "lobby", "hello");
    assert.equal(pub.code, 0, pub.stderr);
    const status = await arq("status");
    assert.match(status.stdout, /nats +running +healthy/);
    const reset = await arq("dev", "reset", "--yes");
    assert.equal(reset.code, 0, reset.stderr);
    const left = await Array.fromAsync(Deno.readDir(join(cwd, ".arqon", "dev")));
    assert.deepEqual(left, []);
  } finally {
    await arq("dev", "down");
    await Deno.remove(base, { recursive: true });
  }
}

/** The launcher's message when Deno could not be installed. */
async function withoutDeno(tool: Tool, cwd: string): Promise<void> {
  const folder = join(tool.folder, "node_modules", "@deno");
  await Deno.rename(folder, `${folder}-away`);
  const { code, stdout, stderr } = await run([...tool.command, "--version"], { cwd });
  assert.deepEqual([code, stdout], [127, ""]);
  assert.match(stderr, /^arq: @deno\/\S+ [\d.]+ is not installed; .*\n$/);
}

Deno.test("the npm package arqon", async (t) => {
  const cwd = await Deno.makeTempDir({ prefix: "arqon-npm-out-" });
  const { path } = await packArqon(cwd);
  await using tool = await installedTool(path);
  const options = { cwd: tool.folder, env: offline(cwd) };
  for (const name of ["arq", "arqon"]) {
    await t.step(`npx ${name} --version`, async () => {
      const { code, stdout, stderr } = await run(
        ["npx", "--no-install", name, "--version"],
        options,
      );
      assert.deepEqual([code, stdout.trim()], [0, VERSION], stderr);
    });
  }
  await t.step("exit codes and the error's one sentence are passed on", async () => {
    const { code, stderr } = await run(
      [...tool.command, "serve", "--config", "none.toml"],
      options,
    );
    assert.equal(code, 2);
    assert.match(stderr, /^arq: .*none\.toml.*\n/);
  });
  await t.step("a bus, messages, a policy, the end", () => smoke(tool, VERSION, () => {}));
  // An old system Node starts Deno as a child, a newer one becomes Deno.
  for (const node of ["node", await ensureNode("26.10.0")]) {
    await t.step(
      `arq dev --embedded, until SIGTERM, by ${basename(node)}`,
      () => developmentBus(tool, cwd, node),
    );
  }
  for (const node of ["node", await ensureNode("26.10.0")]) {
    await t.step(
      `arq man for a slow reader, by ${basename(node)}`,
      () => longOutput(tool, cwd, node),
    );
  }
  await t.step("arq dev up with the included stack", () => composeStack(tool));
  await t.step("without Deno it reports which package is missing", () => withoutDeno(tool, cwd));
  await Deno.remove(cwd, { recursive: true });
});
