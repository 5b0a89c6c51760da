/** Copies the checkout, for those who change it: what git knows, as it stands. */
import { ROOT } from "../tasks/checkout/source_files.ts";

/** Copies each file that git knows into the folder, which is there. */
export async function copyCheckout(folder: string): Promise<void> {
  const { stdout } = await new Deno.Command("git", { args: ["ls-files", "-z"], cwd: ROOT })
    .output();
  for (const path of new TextDecoder().decode(stdout).split("\0")) {
    if (path === "") continue;
    await Deno.mkdir(`${folder}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
    await Deno.copyFile(ROOT + path, `${folder}/${path}`);
  }
}
