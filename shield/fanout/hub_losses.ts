/**
 * Decides which rooms of a hub are notified that the Spine may have lost messages, and when: before the next message.
 * `reception.ts` handles gaps that a room detects itself.
 */
import { CHANGES_KEPT_MS } from "../../shared/records/room_update.ts";
import type { SpineEvent } from "../../shared/spine/contract/spine.ts";
import type { Channel } from "./channel.ts";
import type { HubPatterns } from "./patterns.ts";

interface HubLossesOptions {
  /** The channels by the subject of clients' messages to them. */
  readonly channels: ReadonlyMap<string, Channel>;
  readonly patterns: Pick<HubPatterns, "lost"> | undefined;
  readonly monotonic: () => number;
  readonly tellGap: (channel: Channel, reason: string) => void;
}

/** The losses of one hub's rooms. */
export class HubLosses {
  readonly #options: HubLossesOptions;
  /** When the Spine became unreachable; undefined: it is reachable, and all rooms have been notified. */
  #cut_ms: number | undefined;

  constructor(options: HubLossesOptions) {
    this.#options = options;
  }

  receive(event: SpineEvent): void {
    switch (event.type) {
      case "state":
        return event.status.state === "disconnected" ? this.#cut() : undefined;
      case "gap":
        this.#options.patterns?.lost(event.pattern, event.reason);
        if (event.pattern === undefined) return this.#tellAll(event.reason);
        return this.#tellRoom(event.pattern, event.reason);
      case "log":
      case "denied":
      case "unstored":
        return;
      default:
        event satisfies never;
    }
  }

  #tellRoom(pattern: string, reason: "reconnect" | "slow-consumer"): void {
    // The Spine may be shared with a Brain, whose patterns match none of this hub's rooms.
    const { channels, tellGap } = this.#options;
    const channel = channels.get(pattern.replace(/^out\./, "in."));
    if (channel === undefined) return;
    if (channel.durable === undefined) tellGap(channel, reason);
    else if (pattern.startsWith("out.")) tellGap(channel, "changes-lost");
  }

  /** Marks every room: its next message follows a gap. */
  #cut(): void {
    const { channels, monotonic } = this.#options;
    this.#cut_ms ??= monotonic();
    for (const { reception, durable } of channels.values()) {
      reception.is_cut = durable === undefined;
    }
  }

  /** Also notifies rooms without a later message. A subscriber that came after the loss has missed nothing. */
  #tellAll(reason: "reconnect" | "slow-consumer"): void {
    const { channels, monotonic, tellGap } = this.#options;
    const cut_ms = reason === "reconnect" ? this.#cut_ms : undefined;
    if (cut_ms !== undefined) this.#cut_ms = undefined;
    // Brains repeat the last changes while they remember them.
    const forgotten = cut_ms !== undefined && monotonic() - cut_ms > CHANGES_KEPT_MS;
    for (const channel of channels.values()) {
      const { durable, reception } = channel;
      if (durable === undefined) {
        if (cut_ms === undefined || reception.is_cut) tellGap(channel, reason);
        // The room's log has the messages, but not the changes of the room's state.
      } else if (forgotten) tellGap(channel, "changes-lost");
    }
  }
}
