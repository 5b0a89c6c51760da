/**
 * Knows every message of one room: one sender counts them, and each hearer has to get each that was
 * not refused, once and in order. Knows no socket.
 */

/** What is wrong, as counts; all 0: nothing. */
export interface RoomFaults {
  /** Deliveries that did not come although the message was taken. */
  lost: number;
  /** Deliveries of a message that came before, or after a later one. */
  repeated_or_reordered: number;
  /** Messages of another room, another tenant, or that nobody has sent. */
  foreign: number;
  /** Requests without an answer. */
  unanswered: number;
  /** Answers to nothing, or a second one. */
  answered_twice: number;
  /** A GAP: nothing was hurt, so nothing may be lost. */
  gaps: number;
  /** Connections that ended by themselves. */
  disconnected: number;
}

/** No faults. */
export function noFaults(): RoomFaults {
  return {
    lost: 0,
    repeated_or_reordered: 0,
    foreign: 0,
    unanswered: 0,
    answered_twice: 0,
    gaps: 0,
    disconnected: 0,
  };
}

/** Adds the counts of `more` to `sum`. */
export function addFaults(sum: RoomFaults, more: RoomFaults): void {
  for (const [name, count] of Object.entries(more)) sum[name as keyof RoomFaults] += count;
}

/** Sequences from `from` to `to`, both included, that a hearer did not get in their place. */
interface Hole {
  readonly from: number;
  readonly to: number;
}

/** One room of a run. */
export class RoomCheck {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly faults: RoomFaults = noFaults();
  /** How often each reason was given. */
  readonly refusals = new Map<string, number>();
  sent = 0;
  received = 0;
  readonly #last: Int32Array;
  readonly #holes: Hole[] = [];
  readonly #refused = new Set<number>();
  readonly #pending = new Set<number>();

  constructor(tenant_id: string, room_id: string, hearers: number) {
    [this.tenant_id, this.room_id] = [tenant_id, room_id];
    this.#last = new Int32Array(hearers);
  }

  /** The sequence of the next message, from 1. */
  send(): number {
    this.#pending.add(++this.sent);
    return this.sent;
  }

  /** The answer to a message; "" when it was taken, else the reason of the refusal. */
  answered(sequence: number, refusal: string): void {
    if (!this.#pending.delete(sequence)) {
      this.faults.answered_twice++;
      return;
    }
    if (refusal === "") return;
    this.#refused.add(sequence);
    this.refusals.set(refusal, (this.refusals.get(refusal) ?? 0) + 1);
  }

  heard(hearer: number, message: { tenant_id: string; room_id: string; sequence: number }): void {
    this.received++;
    const { tenant_id, room_id, sequence } = message;
    if (tenant_id !== this.tenant_id || room_id !== this.room_id || sequence > this.sent) {
      this.faults.foreign++;
      return;
    }
    const last = this.#last[hearer]!;
    if (sequence <= last) {
      this.faults.repeated_or_reordered++;
      return;
    }
    // A refusal may be told after a later message has come: holes are judged in the end.
    if (sequence > last + 1) this.#holes.push({ from: last + 1, to: sequence - 1 });
    this.#last[hearer] = sequence;
  }

  /** Answers and deliveries that are still to come; 0 when everything has. */
  get outstanding(): number {
    let count = this.#pending.size;
    for (const last of this.#last) count += this.#taken(last + 1, this.sent);
    return count;
  }

  /** Judges what has not come until now. */
  finish(): RoomFaults {
    const holes = [...this.#holes];
    for (const last of this.#last) holes.push({ from: last + 1, to: this.sent });
    this.faults.lost = holes.reduce((sum, { from, to }) => sum + this.#taken(from, to), 0);
    this.faults.unanswered = this.#pending.size;
    return this.faults;
  }

  #taken(from: number, to: number): number {
    let count = 0;
    for (let sequence = from; sequence <= to; sequence++) {
      if (!this.#refused.has(sequence)) count++;
    }
    return count;
  }
}
