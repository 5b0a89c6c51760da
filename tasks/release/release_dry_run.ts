/**
 * `deno task release:dry-run`: everything that a release does before its uploads, with the same programs: npm's
 * packages, the wheel, JSR's packages and the chart are built and checked by the rules of their registries, in a
 * temporary folder. `deno task compile` makes binaries; images need a container engine and belong to the pipeline
 * (.github/workflows/images.yml). It uploads nothing.
 */
import { deno, must, pythonPackages } from "../checkout/programs.ts";
import { CHART, ensureDeployTools } from "../deploy/deploy_validate.ts";
import { readVersion, ROOT_MANIFEST } from "../gen/gen_version.ts";
import { ROOT } from "../checkout/source_files.ts";
import { temporaryFolder } from "../../shared/testing/temporary_folder.ts";

const PYTHON_PACKAGES = ["build==1.6.1", "twine==7.0.0"];

/** Runs a program in the checkout; its whole output. Throws an Error with the output if the program fails. */
const run = async (program: string, ...args: string[]): Promise<string> =>
  (await must(program, args, { env: { NO_COLOR: "1" } })).text;

async function filesIn(folder: string, end: string): Promise<string[]> {
  const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
  return names.filter((name) => name.endsWith(end)).sort().map((name) => `${folder}/${name}`);
}

const nameOf = (path: string) => path.slice(path.lastIndexOf("/") + 1);

/** Packs the npm packages, and lets npm check each as for its registry. */
async function npm(folder: string, version: string): Promise<string[]> {
  await run(Deno.execPath(), "task", "--quiet", "pack", folder);
  const packed = await filesIn(folder, ".tgz");
  for (const path of packed) {
    if (!path.endsWith(`-${version}.tgz`)) throw new Error(`${path} is not of ${version}`);
    await run("npm", "publish", path, "--dry-run", "--access", "public", "--tag", "latest");
  }
  return packed.map(nameOf);
}

/** Builds wheel and source package of the Python SDK, and checks their pages on PyPI. */
async function pypi(folder: string, version: string): Promise<string[]> {
  const python = `${await pythonPackages("release", PYTHON_PACKAGES)}/python`;
  await run(python, "-m", "build", "--outdir", folder, "sdk/python");
  const built = [...await filesIn(folder, ".whl"), ...await filesIn(folder, ".tar.gz")];
  const [wheel, sources] = built.map(nameOf);
  if (
    built.length !== 2 || !wheel?.includes(`-${version}-`) || !sources?.includes(`-${version}.`)
  ) {
    throw new Error(`expected a wheel and the sources of ${version}: ${built.map(nameOf)}`);
  }
  await run(python, "-m", "twine", "check", "--strict", ...built);
  return built.map(nameOf);
}

/** Runs `deno publish` without the upload. */
async function jsr(): Promise<string[]> {
  for (const cwd of ["proto", "sdk/typescript"].map((member) => ROOT + member)) {
    await deno(["publish", "--dry-run", "--allow-dirty"], { cwd });
  }
  return ["@arqon/proto", "@arqon/sdk"];
}

async function chart(folder: string, version: string): Promise<string[]> {
  const { helm } = await ensureDeployTools();
  await run(helm, "package", CHART, "--destination", folder);
  const path = `${folder}/arqonbus-${version}.tgz`;
  await run(helm, "lint", "--strict", "--quiet", path, "--kube-version", "1.31.0");
  return [nameOf(path)];
}

/** Makes every part, and counts those that fail. */
async function failuresOf(version: string): Promise<number> {
  const parts = { npm, PyPI: pypi, JSR: jsr, Helm: chart };
  let failed = 0;
  for (const [name, part] of Object.entries(parts)) {
    await using own = await temporaryFolder();
    try {
      console.log(`${name.padEnd(5)} ${(await part(own.path, version)).join(", ")}`);
    } catch (error) {
      failed++;
      console.error(`${name}: ${error instanceof Error ? error.message : error}`);
    }
  }
  return failed;
}

if (import.meta.main) {
  const version = readVersion(await Deno.readTextFile(ROOT + ROOT_MANIFEST.path));
  const failed = await failuresOf(version);
  console.log(failed === 0 ? `${version} could be uploaded` : `${failed} of 4 failed`);
  Deno.exit(failed === 0 ? 0 : 1);
}
