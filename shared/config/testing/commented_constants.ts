/** Constants in comments of a test's configuration, as `#constant durable.verify_ms = 500`; the product reads none. */
import { constants } from "../keys/constants.ts";

/** Their full names and values; throws for a name that is no constant. */
export function commentedConstants(text: string): [string, unknown][] {
  const known = new Map(constants());
  return [...text.matchAll(/^#constant (\S+) = (\S+)$/gm)].map(([, key = "", value = ""]) => {
    if (!known.has(key)) throw new Error(`${key} is no constant`);
    return [key, JSON.parse(value.replaceAll("_", ""))];
  });
}
