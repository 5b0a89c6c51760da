/** The tap capability of a Brain. */
import { ALL_TAPPED } from "../../shared/subjects/subject.ts";
import type { BrainCapability } from "../capability.ts";
import { countTapped, createTap } from "./tap.ts";

/** The queue group of all Brains: each message goes to one of them. */
const QUEUE = "brain";

/** The log of a sample of messages. */
export const TAP: BrainCapability = {
  name: "tap",
  title: "the log of a sample of messages",
  start({ config, spine, registry, log, tracing }) {
    const fraction = Number(config.brain.tap);
    const tapped = countTapped(registry);
    const tap = createTap({ fraction, log, tapped, tracing, spine });
    const subscription = fraction === 0
      ? undefined
      : spine.subscribe(ALL_TAPPED, tap, { queue: QUEUE, reads_only: true });
    return Promise.resolve({
      drain: () => Promise.resolve(subscription?.unsubscribe()),
      figures: () => () => {
        const tap_messages = Object.values(tapped).reduce((sum, one) => sum + one, 0);
        return Promise.resolve({ totals: { tap_messages } });
      },
    });
  },
};
