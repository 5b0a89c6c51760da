/**
 * Limits rooms whose program fails repeatedly, like policies: a user whose calls fail is slowed. A room that fails for
 * several users, or by its timers, is cut off for a while. A refused call or timer is no entry: it costs nothing, and
 * replays do not see it.
 */
import { ArqonError } from "@arqon/proto";
import type { Asking } from "../../../shared/rates/breaker.ts";
import type { RunnableProgram } from "../log/program.ts";
import type { LogEntry } from "../state/room_state.ts";
import type { Applied } from "../thread/protocol.ts";
import type { WaitingCall } from "./next_entries.ts";
import type { ReducedPlace, RoomParts } from "./loaded_room.ts";

/** The defaults of `policy.breaker_failures` and `breaker_seconds`. */
export const BREAKER = { failures: 5, cool_down_ms: 10_000 } as const;
/** The sender of timers. */
const NOBODY = "";

/** Whether the failure counts against the program: a crossed bound is answered with 413, and does not. */
const failed = ({ kind, code }: Applied): boolean => kind === "fault" && code === 503;

/** The faults of one room. */
export class RoomFaults {
  readonly #at: ReducedPlace;
  readonly #parts: Pick<RoomParts, "breakers" | "cut_off" | "metrics" | "log">;
  readonly #monotonic_ms: () => number;
  /** No timer runs before this time, monotonic ms. */
  #held_until_ms = 0;

  constructor(
    at: ReducedPlace,
    { parts, monotonic_ms }: { readonly parts: RoomParts; readonly monotonic_ms: () => number },
  ) {
    this.#at = at;
    this.#parts = parts;
    this.#monotonic_ms = monotonic_ms;
  }

  /** The refusal of a user's call to the program with that id; undefined: it may run, and counts as an attempt. */
  refusal(user_id: string, program: string): ArqonError | undefined {
    const { breakers, metrics } = this.#parts;
    if (breakers.isQuiet(this.#at.tenant_id)) return undefined;
    const hold = breakers.hold(this.#asking(user_id), this.#key(program), this.#monotonic_ms());
    if (hold === undefined) return undefined;
    const { fault, retry_after_ms } = hold;
    metrics.held.inc({ fault });
    const why = fault === "sender-slowed"
      ? "this user's calls have made the room's reducer fail"
      : "the room's reducer fails, whoever calls it";
    const detail = `${fault}: ${why}; retry after ${retry_after_ms} ms`;
    return new ArqonError("rate-limited", detail, { retry_after_ms });
  }

  /** Ms for which no timer runs. */
  get held_ms(): number {
    return Math.max(0, this.#held_until_ms - this.#monotonic_ms());
  }

  /** Whether a due timer may run now; counts as an attempt. */
  admitsTimer(program: string): boolean {
    const { breakers, metrics } = this.#parts;
    if (breakers.isQuiet(this.#at.tenant_id)) return true;
    const now_ms = this.#monotonic_ms();
    if (now_ms < this.#held_until_ms) return false;
    const hold = breakers.hold(this.#asking(NOBODY), this.#key(program), now_ms);
    if (hold === undefined) return true;
    metrics.held.inc({ fault: hold.fault });
    this.#held_until_ms = now_ms + hold.retry_after_ms;
    return false;
  }

  /** Records the outcomes of entries, and of the calls among them. */
  note(
    entries: readonly LogEntry[],
    calls: readonly WaitingCall[],
    applied: readonly Applied[],
    program: Pick<RunnableProgram, "id" | "module">,
  ): void {
    const { breakers, cut_off } = this.#parts;
    const { tenant_id, room_id } = this.#at;
    const key = this.#key(program.id);
    const of = { tenant_id, room_id, key, program };
    for (const [at, one] of applied.entries()) {
      // A program that cannot migrate the room does not come into force.
      if (entries[at]?.kind === "migrate") continue;
      // A repeated answer was not run again: it is neither a failure nor a success.
      if (one.repeats !== undefined) continue;
      const asking = this.#asking(calls[at]?.user_id ?? NOBODY);
      if (!failed(one)) {
        if (breakers.isQuiet(tenant_id)) continue;
        breakers.success(asking, key);
        cut_off.succeeded(of);
        continue;
      }
      const is_own = calls[at] === undefined;
      const now_ms = this.#monotonic_ms();
      const after = breakers.failure(asking, key, now_ms, is_own);
      cut_off.failed(of, one, after === "opened", now_ms);
      if (after !== undefined) this.#tell(after, asking);
    }
  }

  #tell(after: "opened" | "slowed", { sender }: Asking): void {
    const { tenant_id, room_id: room } = this.#at;
    const { log } = this.#parts;
    if (after === "slowed") {
      log.warn("caller slowed: its calls make a room's reducer fail", { tenant_id, room, sender });
      return;
    }
    const seconds = BREAKER.cool_down_ms / 1_000;
    log.error("room cut off: its reducer keeps failing", { tenant_id, room, seconds });
  }

  #asking(user_id: string): Asking {
    const { tenant_id } = this.#at;
    return { tenant_id, sender: user_id, source: user_id, can_be_closed: false };
  }

  /** By room, since the state belongs to it; another program starts without faults. */
  #key(program: string): string {
    return `${program} ${this.#at.room_id}`;
  }
}
