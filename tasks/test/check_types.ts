/**
 * The step "types" of `deno task ok`: checks the types of all files. Deno keeps what it finds under the first module that
 * it is given, which is that of the test tasks, so that these check only what has changed since.
 */
import { ROOT } from "../checkout/source_files.ts";
import { firstModule } from "./test_modules.ts";

if (import.meta.main) {
  const args = ["check", "--quiet", "--frozen", await firstModule(), "."];
  const { code } = await new Deno.Command(Deno.execPath(), { args, cwd: ROOT }).spawn().status;
  Deno.exit(code);
}
