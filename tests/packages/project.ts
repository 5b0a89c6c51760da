/**
 * An empty folder into which npm has installed the packed tarballs, as a user's project has them, with
 * the programs beside. Not the workspace: nothing in there finds the sources.
 */
import { lastLine, run } from "../../tasks/checkout/programs.ts";
import { pack } from "../../tasks/pack/pack.ts";
import type { Tarball } from "../../tasks/pack/pack_tarball.ts";

/** Programs that a project has, out of `programs/`. */
const PROGRAMS = [
  ...["tour", "main", "worker", "worker_main", "thread_main", "typed", "page", "refusals"],
];
/** Declarations of the npm package `ws`, which people hand to `webSocket`. */
const WS_TYPES = "@types/ws@8.18.2";

/** A project; gone at the end of its scope. */
export interface Project extends AsyncDisposable {
  readonly folder: string;
  readonly tarballs: readonly Tarball[];
}

/** The optional peer of `@arqon/sdk/protobuf`, in the version that the repository has. */
async function protobuf(): Promise<string> {
  const config = await Deno.readTextFile(new URL("../../deno.json", import.meta.url));
  const { imports } = JSON.parse(config) as { imports: Record<string, string> };
  return imports["@bufbuild/protobuf"]!.replace(/^npm:/, "");
}

/** Packs, and installs what it packed. Rejects with npm's last word when it cannot. */
export async function makeProject(): Promise<Project> {
  const folder = await Deno.makeTempDir({ prefix: "arqon-packages-" });
  const remove = () => Deno.remove(folder, { recursive: true });
  try {
    const tarballs = await pack(`${folder}/npm`);
    await Deno.writeTextFile(`${folder}/package.json`, '{ "type": "module", "private": true }\n');
    const wanted = [...tarballs.map(({ path }) => path), await protobuf(), WS_TYPES];
    const args = ["install", "--prefix", folder, "--no-audit", "--no-fund", ...wanted];
    const done = await run("npm", args);
    if (done?.ok !== true) throw new Error(`npm install: ${lastLine(done?.text ?? "no npm")}`);
    for (const name of PROGRAMS) {
      const source = new URL(`./programs/${name}.ts`, import.meta.url);
      await Deno.copyFile(source, `${folder}/${name}.ts`);
    }
    return { folder, tarballs, [Symbol.asyncDispose]: remove };
  } catch (error) {
    await remove();
    throw error;
  }
}
