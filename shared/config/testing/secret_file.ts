/** Files with the secrets of a test's configuration: a configuration has none itself. */
import { hash } from "node:crypto";

let folder: string | undefined;

/** The path of a file with this secret; removed at the isolate's end. */
export function secretFile(secret: string): string {
  if (folder === undefined) {
    const made = folder = Deno.makeTempDirSync({ prefix: "arqon-secrets-" });
    addEventListener("unload", () => Deno.removeSync(made, { recursive: true }));
  }
  const path = `${folder}/${hash("sha256", secret)}`;
  Deno.writeTextFileSync(path, `${secret}\n`);
  return path;
}
