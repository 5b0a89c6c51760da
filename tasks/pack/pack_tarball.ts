/**
 * Runs the real `npm pack` over a folder that is ready to be published and reads back what is in the
 * tarball. What comes from where is `pack.ts`'s business; so is publishing, of a release.
 */
import { run } from "../../bench/peers/installed.ts";
import { checkPackage, type PackageFiles } from "./pack_check.ts";

/** One tarball. */
export interface Tarball {
  readonly name: string;
  readonly version: string;
  /** Absolute path of the `.tgz`. */
  readonly path: string;
  readonly size_bytes: number;
  /** Of all files together, before they are compressed. */
  readonly unpacked_bytes: number;
  /** Paths in the package, sorted. */
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
 * npm as it is on this machine; without its own chatter about a newer version, and deaf to what a
 * user's npmrc says about anything but how to reach the registry.
 */
async function npmPack(folder: string, out_dir: string): Promise<{ out: string; err: string }> {
  const { success, stdout, stderr } = await new Deno.Command(
    Deno.build.os === "windows" ? "npm.cmd" : "npm",
    {
      args: ["pack", "--json", "--pack-destination", out_dir, "--update-notifier=false"],
      cwd: folder,
      stdin: "null",
    },
  ).output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  if (!success) throw new Error(`npm pack in ${folder}: ${err}`);
  return { out: out!, err: err! };
}

/** Warnings about the package; those about the machine's npmrc are not. */
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
 * Packs `folder` into `out_dir`. Throws an Error when npm warns about it, or when something is in the
 * tarball that does not belong there: `check` says what, by default as for a portable library.
 */
export async function packTarball(
  folder: string,
  out_dir: string,
  check: (files: PackageFiles) => string[] = checkPackage,
): Promise<Tarball> {
  const { out, err } = await npmPack(folder, out_dir);
  const warned = warnings(err);
  if (warned.length > 0) throw new Error(`npm pack warns:\n${warned.join("\n")}`);
  const [report] = JSON.parse(out) as PackReport[];
  if (report === undefined) throw new Error(`npm pack in ${folder} made nothing`);
  const path = `${out_dir}/${report.filename}`;
  const listed = await run("tar", ["-tzf", path]);
  // npm's own list is not asked: this is what people will unpack.
  const files = (listed?.text ?? "").split("\n").filter((line) => line !== "")
    .map((line) => line.replace(/^package\//, "")).sort();
  if (listed?.ok !== true || files.length === 0) throw new Error(`tar -tzf ${path} failed`);
  const problems = check(await contents(folder, files));
  if (problems.length > 0) throw new Error(`${report.name}:\n${problems.join("\n")}`);
  const { name, version, size: size_bytes, unpackedSize: unpacked_bytes } = report;
  return { name, version, path, size_bytes, unpacked_bytes, files };
}
