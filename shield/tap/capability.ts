/** The tap capability of a Shield: a sample of messages for the Brains' log. */
import type { Capability } from "../capability.ts";
import { createTap } from "./tap.ts";

/** The capability, for a Shield's list. */
export const TAP: Capability = {
  name: "tap",
  title: "a sample of messages for the Brains' log",
  open: ({ spine, config }) => ({ observer: createTap(spine, Number(config.brain.tap)) }),
};
