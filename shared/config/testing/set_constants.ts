/** Preloaded into the processes of `tests/harness`: sets the constants that comments of their configuration name. */
import { constants } from "../keys/constants.ts";
import { commentedConstants } from "./commented_constants.ts";

const file = Deno.args[Deno.args.indexOf("--config") + 1] ?? "";
const known = new Map(constants());
for (const [key, value] of commentedConstants(Deno.readTextFileSync(file))) {
  Object.assign(known.get(key) ?? {}, { value });
}
