/**
 * The tap capability of a Shield: it copies a sample of clients' messages to the Brains' tap, on a separate subject.
 * The Brains share those messages in a queue group. If one of NATS's servers stalls for a while, NATS may repeat
 * messages to plain subscribers of subjects with such a group, so no group subscribes to clients' messages.
 * `brain/tap/capability.ts` logs the sample.
 */
import type { Capability } from "../capability.ts";
import { ArqonError, DecodeError } from "@arqon/proto";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { tapSubject } from "../../shared/subjects/subject.ts";
import { isEnvelopeTapped } from "../../shared/records/tap_sample.ts";
import { recordedIn } from "../../shared/telemetry/spine_span.ts";
import { TRACEPARENT } from "../../shared/telemetry/trace_context.ts";
import type { Observer } from "../message/observers.ts";
import { AT, step } from "../../shared/watchdog/steps.ts";

/**
 * Makes the tap: it copies a message that belongs to the sample, or whose trace is recorded. If the Spine refuses a
 * copy, it is dropped: the message itself was published. Undefined if nothing is tapped. `fraction` is the share of
 * traces, in [0, 1].
 */
export function createTap(spine: Pick<Spine, "give">, fraction: number): Observer | undefined {
  if (fraction === 0) return undefined;
  const isSampled = (envelope: Uint8Array): boolean => {
    try {
      return isEnvelopeTapped(envelope, fraction);
    } catch (error) {
      if (error instanceof DecodeError) return false;
      throw error;
    }
  };
  return {
    passed({ caller, envelope: { room_id }, routed, headers, stored }) {
      // A repetition is not tapped again.
      if (stored?.duplicate === true) return;
      step(AT.tap);
      const recorded = recordedIn(headers) !== undefined;
      if (!recorded && !isSampled(routed)) return;
      const traceparent = headers?.[TRACEPARENT];
      const beside = traceparent === undefined ? undefined : { [TRACEPARENT]: traceparent };
      try {
        spine.give(tapSubject(caller.identity.tenant_id, room_id), routed, beside);
      } catch (error) {
        if (!(error instanceof ArqonError)) throw error;
      }
    },
  };
}

/** The capability, for a Shield's list. */
export const TAP: Capability = {
  name: "tap",
  title: "a sample of messages for the Brains' log",
  open: ({ spine, config }) => ({ observer: createTap(spine, Number(config.brain.tap)) }),
};
