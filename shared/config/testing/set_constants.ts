/**
 * Preloaded into the Shields and Brains of `tests/harness/cluster.ts`: sets the constants that comments of their
 * configuration name, as `#constant durable.verify_ms = 500`. The product reads no such comment.
 */
import { constants } from "../keys/constants.ts";

const file = Deno.args[Deno.args.indexOf("--config") + 1] ?? "";
const known = new Map(constants());
for (
  const [, key = "", value] of Deno.readTextFileSync(file).matchAll(/^#constant (\S+) = (\d\S*)$/gm)
) {
  const constant = known.get(key);
  if (constant === undefined) throw new Error(`${key} is no constant`);
  Object.assign(constant, { value: Number(value?.replaceAll("_", "")) });
}
