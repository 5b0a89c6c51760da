/**
 * `deno task compile [--target TRIPLE]… [--out FOLDER] [--require-runtime]`: compiles `arq`, `shield` and
 * `brain` to single binaries in FOLDER/TRIPLE (dist/bin), with SHA256SUMS and the licences of packages. Where Deno's runtime for them
 * cannot be downloaded, it leaves no binaries, but still checks what would be in them.
 */
import { bundleReplayWorker, REPLAY_WORKER } from "../../shield/admin/console/replay_bundle.ts";
import { LICENCES, licencesText, licensedPackages } from "../gen/gen_notice.ts";
import {
  binaryProblems,
  compileArguments,
  compileFlags,
  isTarget,
  programFile,
  TARGETS,
} from "./compile_target.ts";
import type { Target } from "./compile_target.ts";
import { taskFlags } from "./pack_manifest.ts";
import { stageModules } from "./pack_modules.ts";
import { copySources, MEMBERS, PROGRAMS, sourcesOf, STARTED } from "./pack_sources.ts";
import { ROOT } from "../checkout/source_files.ts";

const USAGE = "deno task compile [--target TRIPLE]… [--out FOLDER] [--require-runtime]";

/** A program in a folder that holds only what the program needs. */
export interface StagedProgram {
  readonly name: keyof typeof PROGRAMS;
  readonly folder: string;
  /** Arguments of `deno compile`, without target and output. */
  readonly args: readonly string[];
  readonly flags: readonly string[];
  readonly files: ReadonlyMap<string, string>;
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
  const files = new Map<string, string>();
  for (const path of [PROGRAMS[name], ...started, ...sources.texts]) {
    files.set(path, await Deno.readTextFile(`${ROOT}${path}`));
  }
  const included = [...started];
  if (name !== "brain") {
    const thread = await bundleReplayWorker();
    await Deno.writeTextFile(`${folder}/${REPLAY_WORKER}`, thread);
    files.set(REPLAY_WORKER, thread);
    included.push(REPLAY_WORKER);
  }
  const include = included.flatMap((path) => ["--include", path]);
  const args = ["compile", "--no-check", "--cached-only", ...flags, ...include];
  return { name, folder, args, flags, files };
}

/** Runs `deno compile`. Undefined when it succeeded, else its output. */
async function denoCompile(
  { name, folder, args }: StagedProgram,
  target: Target | undefined,
  output: string,
): Promise<string | undefined> {
  const to = target === undefined ? [] : ["--target", target];
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...args, ...to, "--output", output, PROGRAMS[name]],
    cwd: folder,
    // With this deno in the place of the runtime, the file has the right content but does not run.
    env: target === undefined ? { DENORT_BIN: Deno.execPath() } : {},
    stdin: "null",
    stdout: "null",
  }).output();
  return success ? undefined : new TextDecoder().decode(stderr);
}

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;

/** Checks the binary at `path`. Throws an Error with all problems. */
async function checkBinary(staged: StagedProgram, path: string): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = await Deno.readFile(path);
  const problems = binaryProblems(bytes, staged);
  if (problems.length > 0) throw new Error(`${staged.name}:\n  ${problems.join("\n  ")}`);
  return bytes;
}

/** The line of a file in SHA256SUMS. */
async function sum(bytes: Uint8Array<ArrayBuffer>, file: string): Promise<string> {
  return `${new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex()}  ${file}\n`;
}

/** Makes the binaries of one target. False when its runtime cannot be downloaded. */
async function compileTarget(
  programs: readonly StagedProgram[],
  licences: string,
  target: Target,
  out_dir: string,
): Promise<boolean> {
  const folder = `${out_dir}/${target}`;
  await Deno.mkdir(folder, { recursive: true });
  let sums = "";
  for (const staged of programs) {
    const file = programFile(staged.name, target);
    const said = await denoCompile(staged, target, `${folder}/${file}`);
    if (said !== undefined) {
      await Deno.remove(folder, { recursive: true });
      if (/dl\.deno\.land|Setting up base binary/.test(said)) return false;
      throw new Error(`deno compile of ${staged.name} for ${target}:\n${said}`);
    }
    const bytes = await checkBinary(staged, `${folder}/${file}`);
    sums += await sum(bytes, file);
    console.log(`${folder}/${file}: ${megabytes(bytes.length)}`);
  }
  await Deno.writeTextFile(`${folder}/SHA256SUMS`, sums);
  await Deno.writeTextFile(`${folder}/${LICENCES}`, licences);
  return true;
}

/** Makes each program with this deno in the place of the runtime, and checks its content. */
async function checkOnly(programs: readonly StagedProgram[], folder: string): Promise<void> {
  const { size } = await Deno.stat(Deno.execPath());
  for (const staged of programs) {
    const said = await denoCompile(staged, undefined, `${folder}/checked`);
    if (said !== undefined) throw new Error(`deno compile of ${staged.name}:\n${said}`);
    const { length } = await checkBinary(staged, `${folder}/checked`);
    await Deno.remove(`${folder}/checked`);
    console.log(`${staged.name}: checked, ${megabytes(length - size)} on top of the runtime`);
  }
}

/** The options of `deno task compile`. */
export interface CompileOptions {
  readonly targets: readonly Target[];
  /** Absolute path of the folder for the binaries. */
  readonly out_dir: string;
}

/** Compiles for every target. Resolves with the targets whose runtime cannot be downloaded. */
export async function compilePrograms({ targets, out_dir }: CompileOptions): Promise<Target[]> {
  const folder = await Deno.makeTempDir({ prefix: "arqon-compile-" });
  try {
    const programs: StagedProgram[] = [];
    for (const name of ["arq", "shield", "brain"] as const) {
      await Deno.mkdir(`${folder}/${name}`);
      programs.push(await stageProgram(name, `${folder}/${name}`));
    }
    const licences = licencesText(await licensedPackages(ROOT));
    const without: Target[] = [];
    for (const target of targets) {
      if (!await compileTarget(programs, licences, target, out_dir)) without.push(target);
    }
    if (without.length > 0) await checkOnly(programs, folder);
    return without;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function main(): Promise<number> {
  let values;
  try {
    values = compileArguments(Deno.args);
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n${USAGE}`);
    return 2;
  }
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const unknown = values.target.filter((word) => !isTarget(word));
  if (unknown.length > 0) {
    console.error(
      `no such target: ${unknown.join(", ")}. There are ${TARGETS.join(", ")}.\n${USAGE}`,
    );
    return 2;
  }
  const targets = values.target.length === 0 ? TARGETS : values.target.filter(isTarget);
  const without = await compilePrograms({
    targets,
    out_dir: await absolute(values.out ?? `${ROOT}dist/bin`),
  });
  if (without.length === 0) return 0;
  console.error(
    `NOTE: no binaries for ${
      without.join(", ")
    }: the runtime (denort ${Deno.version.deno}) cannot be ` +
      "downloaded from dl.deno.land here. Modules, includes, flags and permissions were checked.",
  );
  return values["require-runtime"] ? 1 : 0;
}

async function absolute(path: string): Promise<string> {
  await Deno.mkdir(path, { recursive: true });
  return await Deno.realPath(path);
}

if (import.meta.main) Deno.exit(await main());
