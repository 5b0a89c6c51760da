/**
 * Runs the real `npm pack` on a folder that is ready to be published, and reads the tarball. `pack.ts` prepares the
 * folder; the release publishes.
 */
import { must, run } from "../checkout/programs.ts";
import { checkPackage, type PackageFiles } from "./pack_check.ts";

/** A packed tarball. */
export interface Tarball {
  readonly name: string;
  readonly version: string;
  /** Absolute path of the `.tgz`. */
  readonly path: string;
  readonly size_bytes: number;
  /** Total size of all files, without compression. */
  readonly unpacked_bytes: number;
  /** Paths of the files in the package, sorted. */
  readonly files: readonly string[];
}

interface PackReport {
  readonly name: string;
  readonly version: string;
  readonly filename: string;
  readonly size: number;
  readonly unpackedSize: number;
  readonly files: readonly { readonly path: string }[];
}

/**
 * npm's warnings about the package, without those about the machine's npmrc: that affects only the access to the
 * registry.
 */
function warnings(err: string): string[] {
  return err.split("\n").filter((line) => /\bnpm warn\b/i.test(line) && !/ config /.test(line));
}

async function contents(folder: string, files: readonly string[]): Promise<Map<string, string>> {
  const read = async (path: string): Promise<[string, string]> => [
    path,
    await Deno.readTextFile(`${folder}/${path}`),
  ];
  return new Map(await Promise.all(files.map(read)));
}

/**
 * Packs `folder` into `out_dir`. Throws an Error if npm warns about the folder, or if the tarball has a file that does
 * not belong there. `check` decides which files belong; the default is for a portable library.
 */
export async function packTarball(
  folder: string,
  out_dir: string,
  check: (files: PackageFiles) => string[] = checkPackage,
): Promise<Tarball> {
  const args = ["pack", "--json", "--pack-destination", out_dir, "--update-notifier=false"];
  const npm = await must(Deno.build.os === "windows" ? "npm.cmd" : "npm", args, { cwd: folder });
  const warned = warnings(npm.stderr);
  if (warned.length > 0) throw new Error(`npm pack warns:\n${warned.join("\n")}`);
  const [report] = JSON.parse(npm.stdout) as PackReport[];
  if (report === undefined) throw new Error(`npm pack in ${folder} made nothing`);
  const path = `${out_dir}/${report.filename}`;
  const listed = await run("tar", ["-tzf", path]);
  // The list is read from the tarball and not from npm, since users unpack the tarball.
  const files = (listed?.text ?? "").split("\n").filter((line) => line !== "")
    .map((line) => line.replace(/^package\//, "")).sort();
  if (listed?.ok !== true || files.length === 0) throw new Error(`tar -tzf ${path} failed`);
  const problems = check(await contents(folder, files));
  if (problems.length > 0) throw new Error(`${report.name}:\n${problems.join("\n")}`);
  const { name, version, size: size_bytes, unpackedSize: unpacked_bytes } = report;
  return { name, version, path, size_bytes, unpacked_bytes, files };
}
