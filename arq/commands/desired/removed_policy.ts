/**
 * What a window would have been without a policy that is removed: what it alone has refused, by the journal.
 * Nothing is repeated, since nothing new decides.
 */
import type { Consequence } from "../../desired/consequence_text.ts";
import type { StatePolicy } from "../../desired/state.ts";
import type { JournalChunk } from "../../replay/journal_chunks.ts";
import { journalRecords } from "../../replay/journal_records.ts";
import { addUnits, emptyHistogram, fuelFigures } from "../../replay/fuel_histogram.ts";
import { SAMPLES } from "../../replay/tally.ts";

/** Counts the decisions of a policy that are in these pieces of a journal. */
export async function withoutPolicy(
  chunks: AsyncIterable<JournalChunk>,
  { name, mode }: Pick<StatePolicy, "name" | "mode">,
  { from_ms }: { readonly from_ms: number },
): Promise<Consequence> {
  const read = { lines: 0, bad_lines: 0, holes: 0 };
  const [units, none] = [emptyHistogram(), emptyHistogram()];
  const to_allowed: Consequence["samples"]["to_allowed"][number][] = [];
  let [decisions, refuse_to_allow] = [0, 0];
  for await (const record of journalRecords(chunks, read)) {
    const policy = record.policies.find((one) => one.name === name);
    if (policy === undefined || record.time_ms < from_ms) continue;
    decisions++;
    addUnits(units, policy.units);
    // A chain ends with the first refusal that counts: this one.
    if (policy.mode !== "enforce" || policy.allowed || record.allowed) continue;
    refuse_to_allow++;
    const sample = { room: record.room, user: record.sender?.user ?? null };
    if (to_allowed.length < SAMPLES) to_allowed.push(sample);
  }
  return {
    policy: name,
    action: "remove",
    mode,
    from_ms,
    decisions,
    repeated: decisions,
    allow_to_refuse: 0,
    refuse_to_allow,
    changed: 0,
    recorded_different: 0,
    unknown: 0,
    holes: read.holes,
    by_sender: {},
    fuel: { recorded: fuelFigures(units), planned: fuelFigures(none) },
    samples: { to_refused: [], to_allowed },
  };
}
