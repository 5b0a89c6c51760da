/**
 * Which Brain has heard which Shield when: says whether a Brain may think that a Shield is down.
 * A leave of a member whose Shield every Brain heard in time is a wrong one.
 *
 * A Brain may give a Shield up after `down_ms` of silence in which the Brain itself was awake and
 * online. What it then said is still under way for a while after it hears the Shield again.
 */
import type { Schedule } from "./schedule.ts";

interface Heard {
  /** Simulated ms of the last announcement, moved on by the Brain's own absences. */
  at_ms: number;
  /** It has heard this Shield at all since it started. */
  ever: boolean;
  /** Until then, leaves of this Shield's members are excused. */
  excused_until_ms: number;
}

/** Keeps the times. Ids, not lives: what a Brain said before it died is still under way. */
export class Hearing {
  readonly #heard = new Map<string, Heard>();
  /** Shields whose clock was set back: the cluster believes the life before to be the younger. */
  readonly #doubted = new Map<string, number>();
  /** Process → until when what it reports is old news. */
  readonly #disturbed = new Map<string, number>();
  /** When a Brain last was in trouble. */
  #troubled_ms = -Infinity;
  readonly #down_ms: number;
  readonly #patience_ms: number;
  readonly #slack_ms: number;
  readonly #noticed_ms: number;
  readonly #orderly: boolean;

  constructor({ config, orderly }: Pick<Schedule, "config" | "orderly">) {
    this.#orderly = orderly;
    const { heartbeat_ms, down_ms, sync_timeout_ms } = config;
    // Judged a little earlier than the Brain does: timers, delays and clocks round.
    this.#down_ms = Math.min(down_ms - heartbeat_ms / 10, down_ms * 0.95);
    // Shields wait so long for a Brain that lacks what they have seen, and then believe it.
    this.#patience_ms = 3.5 * heartbeat_ms;
    this.#noticed_ms = 3 * heartbeat_ms;
    this.#slack_ms = 4 * heartbeat_ms + sync_timeout_ms + 3_000;
  }

  #of(brain: string, shield: string): Heard | undefined {
    return this.#heard.get(`${brain}<${shield}`);
  }

  /** A Brain (`of` all Shields) or a Shield (`of` all Brains) has started. */
  started(brain: string, shield: string, now_ms: number): void {
    const before = this.#of(brain, shield);
    this.#settle(before, now_ms);
    this.#heard.set(`${brain}<${shield}`, {
      // Shields have been waiting for an answer since the life before, if that knew nothing either.
      at_ms: before === undefined || before.ever ? now_ms : before.at_ms,
      ever: false,
      excused_until_ms: before?.excused_until_ms ?? 0,
    });
  }

  /**
   * What only a Brain that is gone has heard of a Shield that is silent now cannot be known: then it
   * is not `down_ms` that counts.
   */
  #isSilent(heard: Heard, now_ms: number): boolean {
    const lost = !heard.ever || this.#troubled_ms >= heard.at_ms - this.#slack_ms;
    const limit_ms = lost ? Math.min(this.#patience_ms, this.#down_ms) : this.#down_ms;
    return now_ms - heard.at_ms >= limit_ms;
  }

  /** A Brain died, stood still or was cut off. */
  troubled(now_ms: number): void {
    this.#troubled_ms = now_ms;
  }

  #settle(heard: Heard | undefined, now_ms: number): void {
    if (heard !== undefined && this.#isSilent(heard, now_ms)) {
      heard.excused_until_ms = now_ms + this.#slack_ms;
    }
  }

  /** The Brain has been handed an announcement of the Shield's present life. */
  announced(brain: string, shield: string, now_ms: number): void {
    const heard = this.#of(brain, shield);
    if (heard === undefined) return;
    this.#settle(heard, now_ms);
    heard.at_ms = now_ms;
    heard.ever = true;
  }

  /**
   * The Brain was paused, or offline and knew it, for so long. Beyond three heartbeats it must notice
   * and hold it against nobody; a shorter absence it may take for the Shield's silence.
   */
  away(brain: string, for_ms: number, now_ms: number): void {
    if (for_ms <= this.#noticed_ms) return;
    for (const [key, heard] of this.#heard) {
      if (key.startsWith(`${brain}<`)) heard.at_ms = Math.min(heard.at_ms + for_ms, now_ms);
    }
  }

  /** The Brain's clock was set forward: all have been silent for longer, unless it notices. */
  stepped(brain: string, by_ms: number): void {
    for (const [key, heard] of this.#heard) {
      if (key.startsWith(`${brain}<`)) heard.at_ms -= Math.min(by_ms, this.#noticed_ms);
    }
  }

  /** The Shield's clock was set back: until it is told and begins anew, its members may go. */
  doubt(shield: string): void {
    this.#doubted.set(shield, Infinity);
  }

  /** It has begun anew. */
  trust(shield: string, now_ms: number): void {
    if (this.#doubted.get(shield) === Infinity) this.#doubted.set(shield, now_ms + this.#slack_ms);
  }

  /** What this process says for a while may have happened long ago. */
  disturbed(process: string, now_ms: number): void {
    this.#disturbed.set(process, now_ms + this.#slack_ms);
  }

  /** Whether a leave of a member of `shield`, told at `watcher`, may be an error of the time. */
  excuses(shield: string, watcher: string, now_ms: number): boolean {
    if (this.#orderly) return false;
    if ((this.#disturbed.get(watcher) ?? 0) > now_ms) return true;
    if ((this.#doubted.get(shield) ?? 0) > now_ms) return true;
    for (const [key, heard] of this.#heard) {
      if (!key.endsWith(`<${shield}`)) continue;
      if (heard.excused_until_ms > now_ms || this.#isSilent(heard, now_ms)) return true;
    }
    return false;
  }
}
