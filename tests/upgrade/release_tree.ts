/** The last release as a folder: the commit that `last_release` names, from this clone's history. */
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL(".", import.meta.url));
/** This checkout, without a slash at its end. */
export const HEAD_TREE = fileURLToPath(new URL("../../", import.meta.url)).replace(/\/$/, "");

async function git(...args: string[]): Promise<{ success: boolean; text: string }> {
  const { success, stdout, stderr } = await new Deno.Command("git", { args, cwd: HEAD_TREE })
    .output();
  return { success, text: new TextDecoder().decode(success ? stdout : stderr).trim() };
}

const LAST_RELEASE = (await Deno.readTextFile(`${HERE}last_release`)).trim();

/** Whether this clone is shallow and lacks the commit: then nothing can be compared, and it prints that. */
export async function isMissing(): Promise<boolean> {
  if ((await git("cat-file", "-e", `${LAST_RELEASE}^{commit}`)).success) return false;
  const { text } = await git("rev-parse", "--is-shallow-repository");
  if (text === "true") {
    console.log(`not run: this clone is shallow and lacks ${LAST_RELEASE}: git fetch --unshallow`);
    return true;
  }
  throw new Error(`tests/upgrade/last_release names ${LAST_RELEASE}, which is no commit of here`);
}

/** A file of it. */
export async function releaseFile(path: string): Promise<string> {
  const { success, text } = await git("show", `${LAST_RELEASE}:${path}`);
  if (!success) throw new Error(text);
  return text;
}

/** Unpacks it into `dir`, with this checkout's client next to its SDKs. */
export async function unpack(dir: string): Promise<void> {
  const archive = `${dir}.tar`;
  const made = await git("archive", "--output", archive, LAST_RELEASE);
  if (!made.success) throw new Error(made.text);
  await Deno.mkdir(dir);
  const { success } = await new Deno.Command("tar", { args: ["-xf", archive, "-C", dir] }).output();
  if (!success) throw new Error(`${archive} cannot be unpacked`);
  await Deno.mkdir(`${dir}/tests/upgrade`, { recursive: true });
  await Deno.copyFile(`${HERE}client.ts`, `${dir}/tests/upgrade/client.ts`);
}
