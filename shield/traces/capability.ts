/** The traces capability of a Shield. */
import type { Capability } from "../capability.ts";
import { Traces } from "./traces.ts";

/** Spans of messages and handshakes, for a collector. */
export const TRACES: Capability<Traces> = {
  name: "traces",
  title: "spans of messages and handshakes, for a collector",
  open({ tracing, random }) {
    if (tracing === undefined) return {};
    const traces = new Traces(tracing, random);
    return { own: traces, gives: { traces }, observer: traces };
  },
};
