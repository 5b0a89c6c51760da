/** Copies the checkout, for tests that change it: all files known to git, in their present state. */
import { must } from "../tasks/checkout/programs.ts";
import { ROOT } from "../tasks/checkout/source_files.ts";

/** Copies each file known to git into an existing folder. */
export async function copyCheckout(folder: string): Promise<void> {
  const { stdout } = await must("git", ["ls-files", "-z"]);
  for (const path of stdout.split("\0")) {
    if (path === "") continue;
    await Deno.mkdir(`${folder}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
    await Deno.copyFile(ROOT + path, `${folder}/${path}`);
  }
}
