/** The deltas capability of a Shield. */
import type { Capability } from "../capability.ts";
import { DeltaBases, registeredCounts } from "./deltas.ts";

/** Messages that are sent as diffs from the previous one. */
export const DELTAS: Capability = {
  name: "deltas",
  title: "messages that go out as diffs from the one before",
  room_class: ["delta"],
  open: ({ config: { limits }, registry }) => ({
    gives: { deltas: new DeltaBases(limits, registeredCounts(registry)) },
  }),
};
