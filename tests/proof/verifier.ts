/** Runs `examples/proof_verifier/verify.py`, which knows nothing of our code. */
import { ROOT } from "../../tasks/checkout/source_files.ts";

/** What it has found, or what it says is wrong. */
export async function verifierPy(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<{ readonly found?: Record<string, unknown>; readonly wrong?: string }> {
  const { success, stdout, stderr } = await new Deno.Command("python3", {
    args: [`${ROOT}examples/proof_verifier/verify.py`, ...args],
    env: { ...env, PYTHONUTF8: "1" },
  }).output();
  const text = new TextDecoder().decode(success ? stdout : stderr);
  return success ? { found: JSON.parse(text) } : { wrong: text.trim() };
}

/** Writes the files of a tree into a folder. */
export async function writeFiles(
  folder: string,
  files: Iterable<readonly [path: string, bytes: Uint8Array]>,
): Promise<void> {
  for (const [path, bytes] of files) {
    const file = `${folder}/${path}`;
    await Deno.mkdir(file.slice(0, file.lastIndexOf("/")), { recursive: true });
    await Deno.writeFile(file, bytes);
  }
}
