/**
 * What `arq`, the Shield and the Brain consist of: the files that they load and the packages that these
 * import, by Deno's own module graph. Copies them; changes nothing in them.
 */
import { ROOT } from "../checkout/source_files.ts";

/** The programs, by name, each with its entry. */
export const PROGRAMS = { arq: "arq/main.ts", shield: "shield/main.ts", brain: "brain/main.ts" };

/** Started by URL: threads and the child that compiles. In the graph of no program. */
export const STARTED: readonly string[] = [
  "shield/policy/worker/worker.ts",
  "shield/policy/modules/meter_thread.ts",
  "shield/policy/modules/compile_child.ts",
  "shield/schema/registry/set_thread.ts",
];

/** Members of the workspace that the sources import by their names. */
export const MEMBERS: Readonly<Record<string, string>> = {
  "@arqon/proto": "proto/mod.ts",
  "@arqon/sdk": "sdk/typescript/mod.ts",
};

/** The files and packages of some programs. */
export interface Sources {
  /** TypeScript modules: paths below the root, sorted. */
  readonly modules: readonly string[];
  /** What is imported as text: paths below the root, sorted. */
  readonly texts: readonly string[];
  /** Bare specifier as the sources write it to `npm:NAME@VERSION/PATH`. */
  readonly packages: Readonly<Record<string, string>>;
}

interface Graph {
  readonly modules: readonly {
    readonly kind?: string;
    readonly specifier: string;
    readonly error?: string;
  }[];
}

async function graphOf(entry: string): Promise<Graph> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", entry],
    cwd: ROOT,
    stdin: "null",
  }).output();
  if (!success) throw new Error(`deno info ${entry}: ${new TextDecoder().decode(stderr)}`);
  return JSON.parse(new TextDecoder().decode(stdout));
}

/** Everything that `entries` load. Throws an Error that names what they import and is not there. */
export async function sourcesOf(entries: readonly string[]): Promise<Sources> {
  const base = new URL(`file://${ROOT.startsWith("/") ? "" : "/"}${ROOT}`).href;
  const [modules, texts, npm] = [new Set<string>(), new Set<string>(), new Set<string>()];
  for (const { modules: found } of await Promise.all(entries.map(graphOf))) {
    for (const { kind, specifier, error } of found) {
      if (error !== undefined) throw new Error(error);
      if (kind === "npm") npm.add(specifier.replace(/^npm:\//, "npm:"));
      if (!specifier.startsWith(base)) continue;
      const path = decodeURIComponent(specifier.slice(base.length));
      (kind === "esm" ? modules : texts).add(path);
    }
  }
  const { imports } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`)) as {
    readonly imports: Readonly<Record<string, string>>;
  };
  const used = Object.entries(imports).filter(([, target]) => npm.has(target));
  return {
    modules: [...modules].sort(),
    texts: [...texts].sort(),
    packages: Object.fromEntries(used),
  };
}

/** Copies them into `folder`, each below it as below the root. */
export async function copySources({ modules, texts }: Sources, folder: string): Promise<void> {
  for (const path of [...modules, ...texts]) {
    const target = `${folder}/${path}`;
    await Deno.mkdir(target.slice(0, target.lastIndexOf("/")), { recursive: true });
    await Deno.copyFile(`${ROOT}${path}`, target);
  }
}
