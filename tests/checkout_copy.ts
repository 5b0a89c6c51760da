/** Copies the checkout, for tests that change it: all files known to git, in their present state. */
import { ROOT } from "../tasks/checkout/source_files.ts";

/** Copies each file known to git into an existing folder. */
export async function copyCheckout(folder: string): Promise<void> {
  const { stdout } = await new Deno.Command("git", { args: ["ls-files", "-z"], cwd: ROOT })
    .output();
  for (const path of new TextDecoder().decode(stdout).split("\0")) {
    if (path === "") continue;
    await Deno.mkdir(`${folder}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
    await Deno.copyFile(ROOT + path, `${folder}/${path}`);
  }
}
