/**
 * One subscriber's recording read from its begin to its end: what it saw, in which stretches of the
 * log it had to see everything, and whether its own order is right. Knows nothing of other subscribers.
 */
import type { FindingKind } from "./finding.ts";
import type { Delivered, Sight, Subscribed, Subscriber } from "./recording.ts";

/** A stretch of a room's log in which a subscriber has to see everything. */
export interface Stretch {
  readonly epoch: string;
  /** Above this offset. */
  readonly after: number;
  /** Up to this one, which counts. */
  readonly until: number;
}

/** A position that a subscriber was told. */
export interface Position {
  readonly epoch: string;
  readonly offset: number;
}

/** It went on from one epoch to another, and was told: that nothing is lost, or that something is. */
export interface Change {
  readonly from: string;
  readonly to: string;
  readonly is_recovered: boolean;
}

/** What is to be known of one subscriber. */
export interface Walk {
  readonly name: string;
  readonly deliveries: readonly Delivered[];
  readonly coverage: readonly Stretch[];
  readonly positions: readonly Position[];
  readonly changes: readonly Change[];
  /** SUBs with a position that were answered with `recovered: true`. */
  readonly recoveries: number;
  /** Why it lost something, each time that it was told. */
  readonly gaps: readonly string[];
}

class Walker {
  readonly deliveries: Delivered[] = [];
  readonly coverage: Stretch[] = [];
  readonly positions: Position[] = [];
  readonly changes: Change[] = [];
  readonly gaps: string[] = [];
  recoveries = 0;
  readonly #name: string;
  readonly #report: (kind: FindingKind, text: string) => void;
  readonly #seen = new Set<string>();
  #epoch: string | undefined;
  /** Where the present stretch begins. */
  #after = 0;
  /** The highest offset of the epoch that it saw or was told to go on from. */
  #position = 0;
  /** Told that something is lost: the next message begins another stretch. */
  #lost = false;
  #present = false;

  constructor(name: string, report: (kind: FindingKind, text: string) => void) {
    [this.#name, this.#report] = [name, report];
  }

  subscribed({ recovered, reason, epoch, offset }: Subscribed): void {
    this.positions.push({ epoch, offset });
    this.#present = true;
    if (recovered === true && this.#epoch !== undefined) {
      this.recoveries++;
      if (epoch === this.#epoch) {
        // A GAP before it is taken back: everything since the position comes after all.
        this.#lost = false;
        return;
      }
      // Another life of the log: everything since the position comes all the same.
      this.#change(epoch, true);
      this.#close();
      [this.#epoch, this.#after, this.#lost] = [epoch, this.#position, false];
      return;
    }
    if (recovered === false) {
      this.gaps.push(reason);
      this.#change(epoch, false);
    }
    this.#close();
    if (epoch !== this.#epoch) this.#position = 0;
    this.#epoch = epoch;
    this.#after = offset;
    this.#position = Math.max(this.#position, offset);
    this.#lost = false;
  }

  message(message: Delivered): void {
    const { epoch, offset, message_id } = message;
    this.deliveries.push(message);
    const what = `${this.#name} saw ${message_id} at ${offset}`;
    if (!this.#present || this.#epoch === undefined) {
      return this.#report("unasked", `${what} without being subscribed`);
    }
    const key = `${epoch} ${offset}`;
    if (this.#seen.has(key)) return this.#report("repeated", `${what} again`);
    this.#seen.add(key);
    if (epoch !== this.#epoch) {
      // Only after a GAP may a subscriber find itself in another epoch.
      if (this.#lost) this.#change(epoch, false);
      else this.#report("epoch-swapped", `${what} of ${epoch}, not ${this.#epoch}`);
      this.#close();
      [this.#epoch, this.#after, this.#position] = [epoch, offset, offset];
      this.#lost = false;
      return;
    }
    if (offset <= this.#position) {
      return this.#report("out-of-order", `${what} after ${this.#position}`);
    }
    if (this.#lost) {
      this.#close();
      this.#after = offset;
      this.#lost = false;
    }
    this.#position = offset;
  }

  gap(reason: string): void {
    this.gaps.push(reason);
    this.#lost = true;
  }

  disconnected(): void {
    this.#present = false;
  }

  #change(to: string, is_recovered: boolean): void {
    const from = this.#epoch;
    if (from !== undefined && from !== to) this.changes.push({ from, to, is_recovered });
  }

  /** Ends the present stretch where the subscriber stands. */
  #close(until = this.#position): void {
    if (this.#epoch === undefined) return;
    if (until > this.#after) this.coverage.push({ epoch: this.#epoch, after: this.#after, until });
  }

  /** Who is there at the end has to have seen everything; who is not, everything up to where it got. */
  end(left: boolean): void {
    this.#close(left || this.#lost || !this.#present ? this.#position : Infinity);
  }
}

/**
 * The sights with a name for every epoch: after a GAP an SDK does not know the epoch of what comes until
 * its next SUB is answered, and gives "".
 */
function withEpochs(sights: readonly Sight[]): readonly Sight[] {
  let is_told = false;
  let before = "";
  return sights.map((sight, at) => {
    if (sight.kind === "gap") is_told = true;
    if (!("epoch" in sight)) return sight;
    if (sight.epoch === "" && is_told) {
      const next = sights.slice(at).find((later) => "epoch" in later && later.epoch !== "");
      return { ...sight, epoch: next !== undefined && "epoch" in next ? next.epoch : before };
    }
    is_told = false;
    before = sight.epoch;
    return sight;
  });
}

/** Reads one subscriber's sights; what is wrong with their order goes to `report`. */
export function walkSubscriber(
  { name, sights }: Subscriber,
  report: (kind: FindingKind, text: string) => void,
): Walk {
  const walker = new Walker(name, report);
  let left = false;
  for (const sight of withEpochs(sights)) {
    if (sight.kind === "subscribed") walker.subscribed(sight);
    else if (sight.kind === "message") walker.message(sight);
    else if (sight.kind === "gap") walker.gap(sight.reason);
    else {
      walker.disconnected();
      left ||= sight.kind === "left";
    }
  }
  walker.end(left);
  const { deliveries, coverage, positions, changes, recoveries, gaps } = walker;
  return { name, deliveries, coverage, positions, changes, recoveries, gaps };
}
