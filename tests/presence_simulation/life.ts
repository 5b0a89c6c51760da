/**
 * One incarnation of one process: from its start to its crash or exit. It holds timers and messages back while it is
 * paused, drops them once it is dead, and gives its machine a port.
 */
import type { ClusterMessage, ShieldPort } from "../../shared/presence/messages.ts";
import { steadyTime } from "../../shared/spine/contract/log_clock.ts";
import type { Subject } from "../../shared/subjects/subject.ts";
import type { Random } from "../../shared/testing/seeded.ts";
import type { Timeline } from "./timeline.ts";

/** Unix ms of simulated time 0. */
export const EPOCH_MS = 1_800_000_000_000;

/** The kind of process. */
export type Part = "shield" | "brain";

/** Something that waits for a paused process. */
interface Held {
  readonly what: "timer" | "message" | "call";
  readonly run: () => void;
}

/** The inputs of an incarnation. */
export interface Surroundings {
  readonly timeline: Timeline;
  /** The machine's source of randomness. */
  readonly random: Random;
  readonly send: (from: Life, subject: Subject, message: ClusterMessage) => void;
  readonly listen: (life: Life, subject: Subject) => () => void;
  /** A machine threw. */
  readonly failed: (life: Life, error: unknown) => void;
}

/** The outcome of the messages that arrived before SIGCONT. */
export type Resumption = "timers_first" | "in_order" | "messages_lost";

/** One incarnation of a process. */
export class Life {
  readonly port: ShieldPort;
  alive = true;
  /** It has no Spine connection and knows it. */
  offline = false;
  /** Simulated ms at which it was paused; undefined while it runs. */
  paused_ms: number | undefined;
  /** How long it was stalled before that. */
  #stood_ms = 0;
  #held: Held[] = [];

  constructor(
    readonly id: string,
    readonly part: Part,
    /** The offset of its clock; may be set. */
    public skew_ms: number,
    readonly surroundings: Surroundings,
  ) {
    const { timeline, random, send, listen } = surroundings;
    this.port = {
      now: steadyTime({
        now: () => EPOCH_MS + Math.floor(timeline.now_ms) + this.skew_ms,
        monotonic_ms: () => timeline.now_ms,
      }),
      random: random.next,
      after: (delay_ms, run) => {
        const planned = timeline.after(delay_ms, () => {
          this.enter("timer", () => {
            if (planned.cancelled) return;
            planned.cancelled = true;
            run();
          });
        });
        return () => {
          planned.cancelled = true;
        };
      },
      send: (subject, message) => {
        if (this.alive && !this.offline) send(this, subject, message);
      },
      listen: (subject) => listen(this, subject),
    };
  }

  /** Runs it now, after the pause, or (dead) never. */
  enter(what: Held["what"], run: () => void): void {
    if (!this.alive) return;
    if (this.paused_ms !== undefined) {
      this.#held.push({ what, run });
      return;
    }
    try {
      run();
    } catch (error) {
      this.surroundings.failed(this, error);
    }
  }

  pause(): void {
    this.paused_ms ??= this.surroundings.timeline.now_ms;
  }

  /** How long it was stalled in total, in simulated ms. */
  stoodMs(): number {
    const { now_ms } = this.surroundings.timeline;
    return this.#stood_ms + (this.paused_ms === undefined ? 0 : now_ms - this.paused_ms);
  }

  resume(how: Resumption): void {
    if (this.paused_ms === undefined) return;
    this.#stood_ms = this.stoodMs();
    this.paused_ms = undefined;
    const held = this.#held;
    this.#held = [];
    const first = held.filter(({ what }) => how === "in_order" || what === "timer");
    // Calls are the clients' own bytes on sockets that have stayed open: they are never lost.
    const second = held.filter(({ what }) =>
      how === "timers_first" ? what !== "timer" : how === "messages_lost" && what === "call"
    );
    for (const { what, run } of [...first, ...second]) this.enter(what, run);
  }

  /** Everything that was held, planned or sent to it is lost. */
  die(): void {
    this.alive = false;
    this.#held = [];
  }
}
