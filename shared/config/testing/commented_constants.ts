/** Constants that comments of a test's configuration set, as `#constant durable.verify_ms = 500`. The product reads no such comment. */
import { constants } from "../keys/constants.ts";

/** Their full names and values; throws for a name that is no constant. */
export function commentedConstants(text: string): [string, unknown][] {
  const known = new Map(constants());
  return [...text.matchAll(/^#constant (\S+) = (\S+)$/gm)].map(([, key = "", value = ""]) => {
    if (!known.has(key)) throw new Error(`${key} is no constant`);
    return [key, JSON.parse(value.replaceAll("_", ""))];
  });
}
