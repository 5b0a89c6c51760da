/**
 * A program for the existing traffic: a steady publisher and subscriber of a Shield. Its first line on stdin is a plan
 * as JSON; each further line names the next phase, and the end of stdin ends the last one. It prints one report.
 */
import { SteadyPair, type SteadyPhase } from "../load/crowd/steady.ts";
import type { WireSpec } from "../load/targets/target.ts";
import { ownLines } from "../measure/text_lines.ts";

/** The plan of the pair. */
export interface PairPlan {
  readonly wire: WireSpec;
  /** Messages per second. */
  readonly rate: number;
}

/** The measurements of the pair in all phases, by name. */
export type PairReport = Readonly<Record<string, SteadyPhase>>;

/** The time to wait for the last messages. */
const LAST_MS = 3_000;

if (import.meta.main) {
  const lines = ownLines();
  const { wire, rate }: PairPlan = JSON.parse((await lines.next()).value ?? "");
  using pair = await SteadyPair.open(wire, rate, "due");
  const names = ["warm-up"];
  console.log(JSON.stringify({ ready: true }));
  for await (const line of lines) {
    names.push(JSON.parse(line));
    pair.begin();
  }
  pair.begin();
  await new Promise((resolve) => setTimeout(resolve, LAST_MS));
  const phases = pair.read();
  console.log(JSON.stringify(Object.fromEntries(names.map((name, at) => [name, phases[at]]))));
  Deno.exit(0);
}
