/**
 * `deno task compile [--target TRIPLE]… [--out FOLDER] [--require-runtime]`: compiles `arq`, `shield` and `brain` to
 * single binaries in FOLDER/TRIPLE (dist/bin), with SHA256SUMS and the licences of packages. If Deno's runtime for them
 * cannot be downloaded, it produces no binaries, but still compiles with this deno in place of the runtime.
 * packed_test.ts and `deno task smoke` check that the staged programs run.
 */
import { parseArgs } from "node:util";
import { bundleReplayWorker, REPLAY_WORKER } from "../../shield/admin/console/replay_bundle.ts";
import { LICENCES, licencesText, licensedPackages } from "../gen/gen_notice.ts";
import { taskFlags } from "./pack_manifest.ts";
import { copySources, MEMBERS, PROGRAMS, sourcesOf, stageModules } from "./pack_sources.ts";
import { STARTED } from "./pack_sources.ts";
import { runDeno } from "../checkout/programs.ts";
import { ROOT } from "../checkout/source_files.ts";
import { temporaryFolder } from "../../shared/testing/temporary_folder.ts";
import { sha256Hex } from "../../shared/sha256.ts";

const TARGETS = [
  "x86_64-unknown-linux-gnu",
  "aarch64-unknown-linux-gnu",
  "aarch64-apple-darwin",
  "x86_64-apple-darwin",
  "x86_64-pc-windows-msvc",
];
const USAGE = "deno task compile [--target TRIPLE]… [--out FOLDER] [--require-runtime]";

/** With this flag `deno compile` excludes modules that are loaded later; without it a binary has no graph to walk. */
const WALKS_NO_GRAPH = "--unstable-lazy-dynamic-imports";

/**
 * The flags of `deno compile` for a program whose task has `task_flags`: the same, except that the program may start
 * any program, and contains the modules that it loads later. It starts itself, for trial compilations and more Shields,
 * at an unknown path, and Deno has no permission for "this program".
 */
export function compileFlags(task_flags: readonly string[]): string[] {
  return task_flags.filter((flag) => flag !== WALKS_NO_GRAPH)
    .map((flag) => flag.startsWith("--allow-run=") ? "--allow-run" : flag);
}

/** A program in a folder that contains only its dependencies. */
interface StagedProgram {
  readonly name: keyof typeof PROGRAMS;
  readonly folder: string;
  /** Arguments of `deno compile`, without target and output. */
  readonly args: readonly string[];
  readonly flags: readonly string[];
}

/** Copies a program with its packages into `folder`, where it runs as the compiled program would. */
export async function stageProgram(
  name: keyof typeof PROGRAMS,
  folder: string,
): Promise<StagedProgram> {
  const { tasks } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));
  // A Brain runs no policies, so it starts nothing.
  const started = name === "brain"
    ? []
    : STARTED.filter((path) => name === "arq" || !path.startsWith("arq/"));
  const sources = await sourcesOf([PROGRAMS[name], ...started]);
  await copySources(sources, folder);
  const dependencies = await stageModules(folder, sources.packages);
  const ours = Object.entries(MEMBERS).map(([member, path]) => [member, `./${path}`]);
  const imports = { ...sources.packages, ...Object.fromEntries(ours) };
  const config = { nodeModulesDir: "manual", imports };
  await Deno.writeTextFile(`${folder}/deno.json`, JSON.stringify(config));
  const versions = dependencies.map((module) => [module.name, module.version]);
  const manifest = { type: "module", dependencies: Object.fromEntries(versions) };
  await Deno.writeTextFile(`${folder}/package.json`, JSON.stringify(manifest));
  const flags = compileFlags(taskFlags(tasks, name));
  const included = [...started];
  if (name !== "brain") {
    await Deno.writeTextFile(`${folder}/${REPLAY_WORKER}`, await bundleReplayWorker());
    included.push(REPLAY_WORKER);
  }
  const include = included.flatMap((path) => ["--include", path]);
  const args = ["compile", "--no-check", "--cached-only", ...flags, ...include];
  return { name, folder, args, flags };
}

/** Runs `deno compile`. Undefined on success, else its output. */
async function denoCompile(
  { name, folder, args }: StagedProgram,
  target: string | undefined,
  output: string,
): Promise<string | undefined> {
  const to = target === undefined ? [] : ["--target", target];
  // With this deno in place of the runtime, the file has the right content but does not run.
  const env = target === undefined ? { DENORT_BIN: Deno.execPath() } : {};
  const all = [...args, ...to, "--output", output, PROGRAMS[name]];
  const { ok, stderr } = await runDeno(all, { cwd: folder, env });
  return ok ? undefined : stderr;
}

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;

/** Builds the binaries of one target. False if its runtime cannot be downloaded. */
async function compileTarget(
  programs: readonly StagedProgram[],
  licences: string,
  target: string,
  out_dir: string,
): Promise<boolean> {
  const folder = `${out_dir}/${target}`;
  await Deno.mkdir(folder, { recursive: true });
  let sums = "";
  for (const staged of programs) {
    const file = target.includes("windows") ? `${staged.name}.exe` : staged.name;
    const problem = await denoCompile(staged, target, `${folder}/${file}`);
    if (problem !== undefined) {
      await Deno.remove(folder, { recursive: true });
      if (/dl\.deno\.land|Setting up base binary/.test(problem)) return false;
      throw new Error(`deno compile of ${staged.name} for ${target}:\n${problem}`);
    }
    const bytes = await Deno.readFile(`${folder}/${file}`);
    sums += `${await sha256Hex(bytes)}  ${file}\n`;
    console.log(`${folder}/${file}: ${megabytes(bytes.length)}`);
  }
  await Deno.writeTextFile(`${folder}/SHA256SUMS`, sums);
  await Deno.writeTextFile(`${folder}/${LICENCES}`, licences);
  return true;
}

/** Compiles each program with this deno in place of the runtime. */
async function checkOnly(programs: readonly StagedProgram[], folder: string): Promise<void> {
  const { size } = await Deno.stat(Deno.execPath());
  for (const staged of programs) {
    const problem = await denoCompile(staged, undefined, `${folder}/checked`);
    if (problem !== undefined) throw new Error(`deno compile of ${staged.name}:\n${problem}`);
    const { size: whole } = await Deno.stat(`${folder}/checked`);
    await Deno.remove(`${folder}/checked`);
    console.log(`${staged.name}: compiled, ${megabytes(whole - size)} on top of the runtime`);
  }
}

/** Compiles for every target. Resolves with the targets whose runtime cannot be downloaded. */
async function compilePrograms(targets: readonly string[], out_dir: string): Promise<string[]> {
  await using temporary = await temporaryFolder();
  const folder = temporary.path;
  const programs: StagedProgram[] = [];
  for (const name of ["arq", "shield", "brain"] as const) {
    await Deno.mkdir(`${folder}/${name}`);
    programs.push(await stageProgram(name, `${folder}/${name}`));
  }
  const licences = licencesText(await licensedPackages(ROOT));
  const without: string[] = [];
  for (const target of targets) {
    if (!await compileTarget(programs, licences, target, out_dir)) without.push(target);
  }
  if (without.length > 0) await checkOnly(programs, folder);
  return without;
}

async function main(): Promise<number> {
  let values;
  try {
    values = parseArgs({
      args: Deno.args,
      options: {
        target: { type: "string", multiple: true, default: [] },
        out: { type: "string", default: `${ROOT}dist/bin` },
        "require-runtime": { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    }).values;
    const unknown = values.target.filter((word) => !TARGETS.includes(word));
    if (unknown.length > 0) {
      throw new TypeError(
        `no such target: ${unknown.join(", ")}. There are ${TARGETS.join(", ")}.`,
      );
    }
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n${USAGE}`);
    return 2;
  }
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const targets = values.target.length === 0 ? TARGETS : values.target;
  await Deno.mkdir(values.out, { recursive: true });
  const without = await compilePrograms(targets, await Deno.realPath(values.out));
  if (without.length === 0) return 0;
  console.error(
    `NOTE: no binaries for ${
      without.join(", ")
    }: the runtime (denort ${Deno.version.deno}) cannot be ` +
      "downloaded from dl.deno.land here. With this deno in its place they compile.",
  );
  return values["require-runtime"] ? 1 : 0;
}

if (import.meta.main) Deno.exit(await main());
