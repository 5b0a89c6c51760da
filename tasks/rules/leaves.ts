/**
 * The regression gate of the message path: fails when a hot leaf makes more garbage than
 * `bench/leaves/recorded.json` allows, and says which and what to do. Counts bytes, not seconds.
 */
import { judge } from "../../bench/leaves/compare.ts";
import { measureLeaves, readRecorded } from "../../bench/leaves/measure.ts";

if (import.meta.main) {
  const { ok, lines } = judge(await readRecorded(), await measureLeaves(), Deno.version);
  for (const line of lines) console.log(line);
  if (!ok) Deno.exit(1);
}
