/**
 * `deno task release:jsr [OPTIONS of deno publish]`: publishes `@arqon/proto` and `@arqon/sdk` to JSR, from a
 * copy. The checkout maps `@arqon/proto` to a path, which `deno publish` would write into the SDK's imports,
 * where JSR could not follow it. The copy has no such mapping, so deno finds the member of the workspace and
 * writes its name and version (`jsr:@arqon/proto@^X.Y.Z`).
 */
import { listFiles, ROOT } from "../checkout/source_files.ts";

/** Folders of the packages, each after the packages that it needs. */
const MEMBERS = ["proto", "sdk/typescript"];

interface Manifest {
  readonly workspace: readonly string[];
  readonly imports: Readonly<Record<string, string>>;
}

/** The root deno.json for the copy: only these members, and no mapping to a path. */
export function publishedManifest(text: string): string {
  const manifest = JSON.parse(text) as Manifest;
  const imports = Object.entries(manifest.imports).filter(([, target]) => !target.startsWith("."));
  const workspace = MEMBERS.map((member) => `./${member}`);
  const changed = { ...manifest, workspace, imports: Object.fromEntries(imports) };
  return `${JSON.stringify(changed, null, 2)}\n`;
}

async function copyMembers(folder: string): Promise<void> {
  for (const path of await listFiles([""])) {
    if (!MEMBERS.some((member) => path.startsWith(`${member}/`))) continue;
    await Deno.mkdir(`${folder}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
    await Deno.copyFile(ROOT + path, `${folder}/${path}`);
  }
  const manifest = publishedManifest(await Deno.readTextFile(`${ROOT}deno.json`));
  await Deno.writeTextFile(`${folder}/deno.json`, manifest);
}

if (import.meta.main) {
  const folder = await Deno.makeTempDir({ prefix: "arqon-jsr-" });
  let ended = 0;
  try {
    await copyMembers(folder);
    for (const member of MEMBERS) {
      const child = new Deno.Command(Deno.execPath(), {
        args: ["publish", ...Deno.args],
        cwd: `${folder}/${member}`,
      }).spawn();
      ended = (await child.status).code;
      if (ended !== 0) break;
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  Deno.exit(ended);
}
