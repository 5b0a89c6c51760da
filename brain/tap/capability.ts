/** The tap capability of a Brain. */
import { ALL_TAPPED, parseRoomSubject } from "../../shared/subjects/subject.ts";
import type { BrainCapability } from "../capability.ts";
import { payloadOf, type PlainEnvelope, readEnvelope } from "@arqon/proto";
import type { Logger } from "../../shared/logs/log.ts";
import type { Registry } from "../../shared/metrics/metrics.ts";
import { scrapedCounters } from "../../shared/metrics/metrics_plain.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import type { SpineMessage } from "../../shared/spine/contract/spine_message.ts";
import { isEnvelopeTapped } from "../../shared/records/tap_sample.ts";
import type { Tracing } from "../../shared/telemetry/tracing.ts";
import { messageSpan } from "../desk/desk.ts";

/** The queue group of all Brains: each message goes to one of them. */
const QUEUE = "brain";

type TapOutcome = "logged" | "left_out" | "unsampled" | "shadow" | "undecodable";

/** The messages of a tap by outcome: plain numbers, because every message increments one. */
type Tapped = Record<TapOutcome, number>;

/** Makes the counts, and registers their metric; once per registry. */
export function countTapped(registry: Registry): Tapped {
  const tapped = { logged: 0, left_out: 0, unsampled: 0, shadow: 0, undecodable: 0 };
  const help = "Messages that this Brain's tap saw, by outcome.";
  scrapedCounters(registry, "brain_tap_messages_total", help, ["outcome"], function* () {
    for (const [outcome, total] of Object.entries(tapped)) {
      if (total > 0) yield [{ outcome }, total];
    }
  });
  return tapped;
}

interface TapOptions {
  /** Fraction of traces that are logged, in [0, 1]. */
  readonly fraction: number;
  readonly log: Logger;
  readonly tapped: Tapped;
  /** Absent: no tracing. */
  readonly tracing?: Tracing | undefined;
  readonly spine: Pick<Spine, "status">;
}

function typeOf(envelope: PlainEnvelope): string {
  const payload = payloadOf(envelope);
  switch (payload?.kind) {
    case "event":
      return payload.event.type;
    case "command":
      return `command:${payload.command.name}`;
    case "signal":
      return `signal:${payload.signal.kind}`;
    case undefined:
      return "signal:UNSPECIFIED";
    default:
      return payload satisfies never;
  }
}

/** Logs a message; true if its line was written. */
function logMessage(message: SpineMessage, log: Logger): boolean {
  const envelope = readEnvelope(message.payload);
  const at = parseRoomSubject(message.subject);
  return log.sample("message", {
    tenant_id: at?.tenantId,
    room: at?.roomId,
    type: typeOf(envelope),
    trace_id: envelope.trace_id,
    bytes: message.payload.length,
  });
}

/** Creates the handler of `tap.t.>`; it only reads. Never throws: unreadable messages are counted. */
export function createTap(options: TapOptions): (message: SpineMessage) => void {
  const { fraction, tapped, tracing, spine } = options;
  const log = options.log.child({ module: "tap" });
  const outcomeOf = (message: SpineMessage): TapOutcome => {
    if (message.headers["x-arqon-shadow"] !== undefined) return "shadow";
    try {
      // It was sent because its trace is recorded, or by a Shield with a larger fraction.
      if (!isEnvelopeTapped(message.payload, fraction)) return "unsampled";
      return logMessage(message, log) ? "logged" : "left_out";
    } catch {
      return "undecodable";
    }
  };
  return (message) => {
    if (tracing !== undefined) messageSpan(tracing, spine, "tap", message, message.subject)?.end();
    tapped[outcomeOf(message)]++;
  };
}

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
