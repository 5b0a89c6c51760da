/** What deltas bring to a Shield. */
import type { Capability } from "../capability.ts";
import { registeredCounts } from "./delta_counts.ts";
import { DeltaBases } from "./deltas.ts";

/** Messages that go out as diffs from the one before. */
export const DELTAS: Capability = {
  name: "deltas",
  title: "messages that go out as diffs from the one before",
  open: ({ config: { limits }, registry }) => ({
    gives: { deltas: new DeltaBases(limits, registeredCounts(registry)) },
  }),
};
