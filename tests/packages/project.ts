/**
 * An empty folder into which npm has installed the packed tarballs, as in a user's project, with the programs next to
 * them. Not in the workspace: nothing in there resolves to the sources.
 */
import { lastLine, run } from "../../tasks/checkout/programs.ts";
import { pack } from "../../tasks/pack/pack.ts";
import type { Tarball } from "../../tasks/pack/pack_tarball.ts";

/** Declarations of the npm package `ws`, for the option `webSocket`. */
const WS_TYPES = "@types/ws@8.18.2";

/** A project; removed at the end of its scope. */
export interface Project extends AsyncDisposable {
  readonly folder: string;
  readonly tarballs: readonly Tarball[];
}

/** The optional peer dependency of `@arqon/sdk/protobuf`, in the repository's version. */
async function protobuf(): Promise<string> {
  const config = await Deno.readTextFile(new URL("../../deno.json", import.meta.url));
  const { imports } = JSON.parse(config) as { imports: Record<string, string> };
  return imports["@bufbuild/protobuf"]!.replace(/^npm:/, "");
}

/** Installs packages into a folder, and copies the programs of another one into it. Rejects with npm's last line. */
export async function install(
  folder: string,
  packages: readonly string[],
  programs: URL,
): Promise<void> {
  await Deno.writeTextFile(`${folder}/package.json`, '{ "type": "module", "private": true }\n');
  const args = ["install", "--prefix", folder, "--no-audit", "--no-fund", ...packages];
  const done = await run("npm", args);
  if (done?.ok !== true) throw new Error(`npm install: ${lastLine(done?.text ?? "no npm")}`);
  for await (const { name } of Deno.readDir(programs)) {
    await Deno.copyFile(new URL(name, programs), `${folder}/${name}`);
  }
}

/** Packs, and installs the tarballs. */
export async function makeProject(): Promise<Project> {
  await using stack = new AsyncDisposableStack();
  const folder = await Deno.makeTempDir({ prefix: "arqon-packages-" });
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  const tarballs = await pack(`${folder}/npm`);
  const packages = [...tarballs.map(({ path }) => path), await protobuf(), WS_TYPES];
  await install(folder, packages, new URL("./programs/", import.meta.url));
  const owned = stack.move();
  return { folder, tarballs, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
