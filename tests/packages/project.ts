/**
 * An empty folder into which npm has installed the packed tarballs, as in a user's project, with the programs next to
 * them. Not in the workspace: nothing in there resolves to the sources.
 */
import { lastLine, run } from "../../tasks/checkout/programs.ts";
import { pack } from "../../tasks/pack/pack.ts";
import type { Tarball } from "../../tasks/pack/pack_tarball.ts";

/** Programs of a project, from `programs/`. */
const PROGRAMS = [
  ...[
    "tour",
    "main",
    "worker",
    "worker_main",
    "thread_main",
    "typed",
    "page",
    "service",
    "refusals",
  ],
];
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

/** Packs, and installs the tarballs. Rejects with npm's last line if that fails. */
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
