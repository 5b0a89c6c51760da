/**
 * The pages for newcomers with the npm package instead of the checkout: packed, installed into an empty folder by the
 * runtime's package manager, each command run by its runner (`npx`, `bunx`), on Node 22, Node 24 and Bun.
 */
import assert from "node:assert/strict";
import { packArqon } from "../tasks/pack/pack_arqon.ts";
import { run } from "./binaries/tool.ts";
import { BUN_VERSION, ensureBun, ensureNode, NODE_VERSIONS } from "./packages/runtimes.ts";
import { follow, type Install } from "./tutorial/tutorial_shell.ts";
import { atEnd } from "../shared/testing/at_end.ts";

const DOCS = new URL("../docs/", import.meta.url);
const PAGES = ["quick_start", "tutorial_rooms", "tutorial_policies", "tutorial_schemas"];

/** The runtime: its programs, by command name. */
interface Runtime {
  readonly name: string;
  readonly programs: Readonly<Record<string, string>>;
  readonly install: readonly string[];
  readonly runner: readonly string[];
}

async function nodeRuntime(version: typeof NODE_VERSIONS[number]): Promise<Runtime> {
  return {
    name: `Node ${version}`,
    // This machine's npm, run by this Node.
    programs: { node: await ensureNode(version) },
    install: ["npm", "install", "--no-audit", "--no-fund"],
    runner: ["npx", "--no-install"],
  };
}

async function bunRuntime(): Promise<Runtime> {
  const bun = await ensureBun();
  return {
    name: `Bun ${BUN_VERSION}`,
    programs: { bun, bunx: bun },
    install: ["bun", "install"],
    // Bun itself has to run the launcher, not a Node that the machine may have.
    runner: ["bunx", "--bun"],
  };
}

/** The package that the page of schemas tells readers to install in addition, in our version. */
async function compilerOfSchemas(): Promise<string> {
  const config = await Deno.readTextFile(new URL("../deno.json", import.meta.url));
  return String(JSON.parse(config).imports["@bufbuild/buf"]).replace(/^npm:/, "");
}

/** Installs packages as a reader does. */
function installer(runtime: Runtime, packages: readonly string[]): Install {
  return async (folder) => {
    const bin = `${folder}/.bin`;
    await Deno.mkdir(bin);
    for (const [name, program] of Object.entries(runtime.programs)) {
      // Deno makes links only with write permission for all paths.
      await run(["ln", "-s", program, `${bin}/${name}`], { cwd: folder });
    }
    const withPath = ["sh", "-c", `${OWN_ENVIRONMENT} PATH="$0:$PATH" exec "$@"`, bin];
    await Deno.writeTextFile(`${folder}/package.json`, '{ "private": true }\n');
    const { code, stderr } = await run([...withPath, ...runtime.install, ...packages], {
      cwd: folder,
    });
    assert.equal(code, 0, stderr);
    return [...withPath, ...runtime.runner, "arq"];
  };
}

/** Without the variables of the task that runs the tests, and without npm's settings of this machine. */
const OWN_ENVIRONMENT =
  "unset npm_command npm_config_user_agent npm_execpath; export npm_config_loglevel=error;";

const pageOf = (name: string) => Deno.readTextFile(new URL(`${name}.md`, DOCS));

/** Suggested commands begin as the reader's command began. */
async function suggests(install: Install, arq: string): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "arqon_installed_" });
  await using _end = atEnd(() => Deno.remove(folder, { recursive: true }));
  const command = await install(folder);
  const env = { XDG_CONFIG_HOME: `${folder}/.config` };
  const init = await run([...command, "init", "shop", "--json"], { cwd: folder, env });
  assert.equal(init.code, 0, init.stderr);
  assert.equal(JSON.parse(init.stdout).next[1], `${arq} serve --config config.toml`);
}

Deno.test("the installed package does what the pages describe", async (t) => {
  const packed = await Deno.makeTempDir({ prefix: "arqon_packed_" });
  await using _end = atEnd(() => Deno.remove(packed, { recursive: true }));
  const { path } = await packArqon(packed);
  const [oldest, newer] = NODE_VERSIONS;
  const runtimes = [await nodeRuntime(oldest), await nodeRuntime(newer), await bunRuntime()];
  for (const runtime of runtimes) {
    const install = installer(runtime, [path]);
    for (const name of PAGES) {
      const beside = name === "tutorial_schemas" ? [await compilerOfSchemas()] : [];
      await t.step(
        `docs/${name}.md on ${runtime.name}`,
        async () => await follow(await pageOf(name), installer(runtime, [path, ...beside])),
      );
    }
    const arq = `${runtime.runner[0]} arq`;
    if (runtime === runtimes[1]) continue;
    await t.step(`${arq} init names ${arq}, on ${runtime.name}`, () => suggests(install, arq));
  }
});
