/**
 * Which Brain has received announcements of which Shield when, and how up to date it is: decides
 * whether a Brain may consider a Shield down, or may lack its members. A leave of a member that did not
 * leave is wrong if every Brain received its Shield's announcements in time and was up to date with it.
 *
 * A Brain may give a Shield up after `down_ms` of silence in which the Brain itself was awake and
 * online. Shields wait four heartbeats for a Brain that lacks what they have seen, and then believe
 * it. Such messages are still in flight for a while after recovery.
 */
import type { WriterStatus } from "../../shared/presence/types.ts";
import type { Schedule } from "./schedule.ts";

/** One Brain and one Shield. */
interface Heartbeats {
  /** Simulated ms of the last announcement, shifted by the Brain's own pauses. */
  at_ms: number;
  /** When the Brain's heartbeat last reported it as up to date with the Shield, shifted likewise. */
  informed_ms: number;
  /** Until then, leaves of this Shield's members are excused. */
  excused_until_ms: number;
  /** The Brain runs. */
  alive: boolean;
}

/** A Shield's last announcement, and a slightly earlier one. */
interface Announced {
  readonly incarnation: number;
  readonly at_ms: number;
  readonly clock: number;
  readonly before: number;
}

/** A Brain may lack anything newer. */
const UNDER_WAY_MS = 250;

/** Records the times. By id, not by incarnation: messages of a Brain that died are still in flight. */
export class Hearing {
  readonly #received = new Map<string, Heartbeats>();
  readonly #announced = new Map<string, Announced>();
  /** Shields whose clock was set back: the cluster considers the previous incarnation the newer one. */
  readonly #doubted = new Map<string, number>();
  /** Process → until when its messages may be outdated. */
  readonly #disturbed = new Map<string, number>();
  readonly #down_ms: number;
  readonly #behind_ms: number;
  readonly #slack_ms: number;
  readonly #noticed_ms: number;
  readonly #orderly: boolean;

  constructor({ config, orderly }: Pick<Schedule, "config" | "orderly">) {
    this.#orderly = orderly;
    const { heartbeat_ms, down_ms, sync_timeout_ms } = config;
    // Slightly stricter than the Brain: timers and delays are rounded, and its clock runs up to a tenth faster while it
    // follows one that was set.
    this.#down_ms = Math.min(down_ms - heartbeat_ms / 10, down_ms * 0.9);
    // Half of a Shield's timeout: two Brains may use it up one after the other.
    this.#behind_ms = 2 * heartbeat_ms + UNDER_WAY_MS;
    this.#noticed_ms = 3 * heartbeat_ms;
    this.#slack_ms = 4 * heartbeat_ms + sync_timeout_ms + 3_000;
  }

  *#of(brain: string): Generator<[shield: string, received: Heartbeats]> {
    for (const [key, received] of this.#received) {
      if (key.startsWith(`${brain}<`)) yield [key.slice(brain.length + 1), received];
    }
  }

  #isLost({ alive, at_ms, informed_ms }: Heartbeats, now_ms: number): boolean {
    return alive && (now_ms - at_ms >= this.#down_ms || now_ms - informed_ms >= this.#behind_ms);
  }

  #settle(received: Heartbeats, now_ms: number): void {
    if (this.#isLost(received, now_ms)) received.excused_until_ms = now_ms + this.#slack_ms;
  }

  /** A Brain has started, among these Shields. */
  brainStarted(brain: string, shields: readonly string[], now_ms: number): void {
    for (const shield of shields) {
      const before = this.#received.get(`${brain}<${shield}`);
      this.#received.set(`${brain}<${shield}`, {
        at_ms: now_ms,
        informed_ms: now_ms,
        excused_until_ms: before?.excused_until_ms ?? 0,
        alive: true,
      });
    }
  }

  /** It is dead. Shields may have waited long enough already for what it lacked. */
  brainEnded(brain: string, now_ms: number): void {
    for (const [, received] of this.#of(brain)) {
      const was_behind = now_ms - received.informed_ms >= this.#behind_ms / 2;
      if (was_behind) received.excused_until_ms = now_ms + this.#slack_ms;
      this.#settle(received, now_ms);
      received.alive = false;
    }
  }

  /** A running Shield announces this. */
  says(shield: string, incarnation: number, clock: number, now_ms: number): void {
    const last = this.#announced.get(shield);
    const same = last?.incarnation === incarnation;
    if (same && last.clock === clock) return;
    const is_old = same && now_ms - last.at_ms >= UNDER_WAY_MS;
    const before = is_old ? last.clock : same ? last.before : 0;
    const at_ms = same && !is_old ? last.at_ms : now_ms;
    this.#announced.set(shield, { incarnation, at_ms, clock, before });
  }

  /** A Brain reports how up to date it is. */
  beats(brain: string, writers: readonly WriterStatus[], now_ms: number): void {
    for (const [shield, received] of this.#of(brain)) {
      const announced = this.#announced.get(shield);
      const has = writers.find(({ writer }) => writer.node_id === shield);
      const is_new = announced !== undefined && now_ms - announced.at_ms < UNDER_WAY_MS;
      const clock = announced === undefined ? 0 : is_new ? announced.before : announced.clock;
      const informed = clock === 0 ||
        (has?.writer.incarnation === announced?.incarnation && (has?.clock ?? 0) >= clock);
      if (!informed) continue;
      this.#settle(received, now_ms);
      received.informed_ms = now_ms;
    }
  }

  /** The Brain has received an announcement of the Shield's current incarnation. */
  announced(brain: string, shield: string, now_ms: number): void {
    const received = this.#received.get(`${brain}<${shield}`);
    if (received === undefined) return;
    this.#settle(received, now_ms);
    received.at_ms = now_ms;
  }

  /** For how long the Brain was stalled; if it can notice that, it ignores the silence of that time. */
  stood(brain: string, for_ms: number, now_ms: number): void {
    if (for_ms > this.#noticed_ms) this.offline(brain, for_ms, now_ms);
  }

  /** The Brain was offline for that long, and knew it. */
  offline(brain: string, for_ms: number, now_ms: number): void {
    for (const [, received] of this.#of(brain)) {
      received.at_ms = Math.min(received.at_ms + for_ms, now_ms);
      received.informed_ms = Math.min(received.informed_ms + for_ms, now_ms);
    }
  }

  /** The Shield's clock was set back: until it is notified and restarts its incarnation, its members may be removed. */
  doubt(shield: string): void {
    this.#doubted.set(shield, Infinity);
  }

  /** It has a new incarnation. */
  trust(shield: string, now_ms: number): void {
    if (this.#doubted.get(shield) === Infinity) this.#doubted.set(shield, now_ms + this.#slack_ms);
  }

  /** Messages of this process may be outdated for a while. */
  disturbed(process: string, now_ms: number): void {
    this.#disturbed.set(process, now_ms + this.#slack_ms);
  }

  /** Whether a leave of a member of `shield`, delivered at `watcher`, may be due to timing. */
  excuses(shield: string, watcher: string, now_ms: number): boolean {
    if (this.#orderly) return false;
    if ((this.#disturbed.get(watcher) ?? 0) > now_ms) return true;
    if ((this.#doubted.get(shield) ?? 0) > now_ms) return true;
    for (const [key, received] of this.#received) {
      if (!key.endsWith(`<${shield}`)) continue;
      if (received.excused_until_ms > now_ms || this.#isLost(received, now_ms)) return true;
    }
    return false;
  }
}
