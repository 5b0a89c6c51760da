/**
 * Packs the npm package `arqon`: the launcher, `arq` with the servers as JavaScript, and their npm packages, in the
 * versions of deno.lock. npm fetches only Deno.
 */
import { dirname } from "node:path";
import { bundleReplayWorker, REPLAY_WORKER } from "../../shield/admin/console/replay_bundle.ts";
import { LICENCES, licencesText, licensedPackages } from "../gen/gen_notice.ts";
import { javaScript, jsPath } from "./pack_compile.ts";
import { checkSecrets, type PackageFiles, packTarball, type Tarball } from "./pack_tarball.ts";
import { commonManifest, npmReadme, taskFlags } from "./pack_manifest.ts";
import { MEMBERS, PROGRAMS, sourcesOf, stageModules, STARTED } from "./pack_sources.ts";
import type { PackedModule, Sources } from "./pack_sources.ts";
import { ROOT } from "../checkout/source_files.ts";
import { temporaryFolder } from "../../shared/testing/temporary_folder.ts";

const TEMPLATE = "npm/arqon";
/** The platform names of Deno's npm packages. */
const PLATFORMS = [
  "linux-x64-glibc",
  "linux-arm64-glibc",
  "darwin-x64",
  "darwin-arm64",
  "win32-x64",
  "win32-arm64",
];
/** Range of Node for the launcher, which keeps the terminal for Deno. */
const NODE_RANGE = ">=20";

/** Flags for the package: no config or lock of the working directory, and no registry. */
const PACKAGE_FLAGS = [
  "--no-config",
  "--no-lock",
  "--node-modules-dir=manual",
  "--cached-only",
  "--quiet",
];

/** The flags of `deno` for the launcher, which replaces `{deno}` by its path of Deno. */
function launcherFlags(tasks: Readonly<Record<string, string>>): string[] {
  const flags = taskFlags(tasks, "arq").map((flag) =>
    flag.startsWith("--allow-run=") ? flag.replace(/\bdeno\b/, "{deno}") + ",buf" : flag
  );
  return [...PACKAGE_FLAGS, ...flags];
}

function manifest(version: string, modules: readonly PackedModule[]): Record<string, unknown> {
  return {
    ...commonManifest(TEMPLATE),
    name: "arqon",
    version,
    description: "ArqonBus: the message bus with its servers, policies and command line, on Deno",
    keywords: ["message-bus", "websocket", "pubsub", "realtime", "arqonbus"],
    engines: { node: NODE_RANGE },
    bin: { arq: "bin/arq.mjs", arqon: "bin/arq.mjs" },
    files: [
      ...["bin", "arq", "brain", "policies", "proto", "sdk", "shared", "shield", "wasm"],
      // These are for the stack of `arq dev up`.
      ...["compose.yaml", "deploy"],
      "NOTICE",
      LICENCES,
    ],
    dependencies: Object.fromEntries(modules.map(({ name, version }) => [name, version])),
    bundleDependencies: modules.map(({ name }) => name),
    optionalDependencies: Object.fromEntries(
      PLATFORMS.map((name) => [`@deno/${name}`, Deno.version.deno]),
    ),
  };
}

async function write(path: string, text: string): Promise<void> {
  await Deno.mkdir(dirname(path), { recursive: true });
  await Deno.writeTextFile(path, text);
}

async function writeCode(folder: string, { modules, texts, packages }: Sources): Promise<void> {
  const renames = { packages, members: MEMBERS };
  for (const path of modules) {
    const source = await Deno.readTextFile(`${ROOT}${path}`);
    await write(`${folder}/${jsPath(path)}`, javaScript(path, source, renames));
  }
  for (const path of texts) {
    await write(`${folder}/${path}`, await Deno.readTextFile(`${ROOT}${path}`));
  }
  await write(`${folder}/${REPLAY_WORKER}`, await bundleReplayWorker());
}

/** The problems of our files in the tarball; those of other packages are not checked. */
function check(files: PackageFiles): string[] {
  const wanted = [
    "package.json",
    "README.md",
    "LICENSE",
    "NOTICE",
    LICENCES,
    "bin/arq.mjs",
    "arq/main.js",
    REPLAY_WORKER,
    ...STARTED,
  ];
  const missing = wanted.map(jsPath).filter((path) => !files.has(path));
  const own = new Map([...files].filter(([path]) => !path.startsWith("node_modules/")));
  const tests = [...own.keys()].filter((path) => /_test\.|\/testing\//.test(path));
  return [
    ...missing.map((path) => `${path} is missing`),
    ...tests.map((path) => `${path} is for tests`),
    ...checkSecrets(own),
  ];
}

/** Packs the package into `out_dir`. Throws an Error with the reason if it cannot be published as it is. */
export async function packArqon(out_dir: string): Promise<Tarball> {
  const { version, tasks } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`)) as {
    readonly version: string;
    readonly tasks: Readonly<Record<string, string>>;
  };
  await using temporary = await temporaryFolder();
  const folder = temporary.path;
  const sources = await sourcesOf([PROGRAMS.arq, ...STARTED]);
  await writeCode(folder, sources);
  const modules = await stageModules(folder, sources.packages);
  await write(`${folder}/package.json`, JSON.stringify(manifest(version, modules), undefined, 2));
  const flags = { deno_version: Deno.version.deno, flags: launcherFlags(tasks) };
  await write(`${folder}/bin/flags.json`, `${JSON.stringify(flags, undefined, 2)}\n`);
  await Deno.copyFile(`${ROOT}${TEMPLATE}/bin/arq.mjs`, `${folder}/bin/arq.mjs`);
  const readme = await Deno.readTextFile(`${ROOT}${TEMPLATE}/README.md`);
  await write(`${folder}/README.md`, npmReadme(readme, TEMPLATE));
  await Deno.copyFile(`${ROOT}LICENSE`, `${folder}/LICENSE`);
  await Deno.copyFile(`${ROOT}NOTICE`, `${folder}/NOTICE`);
  await write(`${folder}/${LICENCES}`, licencesText(await licensedPackages(ROOT)));
  return await packTarball(folder, out_dir, check);
}
