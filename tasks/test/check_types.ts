/**
 * The step "types" of `deno task ok`: checks the types of all files. Deno caches its results under the first module,
 * which is that of the test tasks, so that this step checks only changes since the tests.
 */
import { ROOT } from "../checkout/source_files.ts";
import { firstModule } from "./test_modules.ts";

if (import.meta.main) {
  const args = ["check", "--quiet", "--frozen", await firstModule(), "."];
  const { code } = await new Deno.Command(Deno.execPath(), { args, cwd: ROOT }).spawn().status;
  Deno.exit(code);
}
