/** The deltas capability of a Shield. */
import type { Capability } from "../capability.ts";
import { DeltaBases } from "./deltas.ts";

/** Messages that are sent as diffs from the previous one. */
export const DELTAS: Capability = {
  name: "deltas",
  title: "messages that are sent as diffs from the previous one",
  open: ({ config: { limits } }, { stats }) => ({
    gives: { deltas: new DeltaBases(limits, stats.deltas) },
  }),
};
