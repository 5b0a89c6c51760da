/** Preloaded into the processes of `tests/harness`: sets the constants that comments of their configuration name. */
import { constants } from "../keys/constants.ts";
import { commentedConstants } from "./commented_constants.ts";

const at = Deno.args.indexOf("--config");
// The development bus has its options as JSON.
const file: string = at < 0
  ? JSON.parse(Deno.args[0] ?? "{}").config_file
  : Deno.args[at + 1] ?? "";
const known = new Map(constants());
for (const [key, value] of commentedConstants(Deno.readTextFileSync(file))) {
  Object.assign(known.get(key) ?? {}, { value });
}
