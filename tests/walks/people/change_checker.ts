/**
 * Judges the changes of one room that one subscriber received: each once and in order, a GAP or the whole state where
 * one is missing, and nothing missing in the end. Pure; a record takes what an iteration of the SDK, or a bare socket,
 * returns, in order.
 */

/** A change, or the whole state instead of several. */
interface Change {
  readonly epoch: string;
  readonly version: number;
  readonly op: string;
  /** The room was created by it. */
  readonly first?: boolean;
}

/** The changes of one subscriber in one room, since its subscription. */
export class ChangeRecord {
  readonly #name: string;
  readonly #violations: string[] = [];
  #last: Change | undefined;
  /** A GAP, or a new subscription, since the last change. */
  #is_notified = true;
  received = 0;
  gaps = 0;

  /** `name` is for the violations. */
  constructor(name: string) {
    this.#name = name;
  }

  /** A signal GAP. */
  gap(): void {
    this.#is_notified = true;
    this.gaps++;
  }

  /** It has subscribed again: earlier changes no longer count. */
  again(): void {
    this.#last = undefined;
    this.#is_notified = true;
  }

  /** The JSON of a ROOM_UPDATE. */
  receive(change: Change): void {
    const last = this.#last;
    this.received++;
    this.#last = change;
    const excused = this.#is_notified || change.op === "state";
    this.#is_notified = false;
    if (last === undefined) return;
    const [is, was] = [change, last].map(({ epoch, version }) => `${version} of epoch ${epoch}`);
    if (last.epoch === change.epoch && change.version <= last.version) {
      this.#violations.push(`${this.#name}: version ${is} came behind ${was}`);
    } else if (!excused && (last.epoch !== change.epoch || change.version !== last.version + 1)) {
      if (change.first === true) return;
      this.#violations.push(`${this.#name}: version ${is} follows ${was} without a GAP`);
    }
  }

  /** Whether it has received the room's latest change, or was notified that it has not. */
  isAt(now: Pick<Change, "epoch" | "version">): boolean {
    const last = this.#last;
    if (this.#is_notified || (last === undefined && now.version === 0)) return true;
    return last?.epoch === now.epoch && last.version >= now.version;
  }

  /** The problems, if the room is at `now` and nothing is in flight. */
  judge(now: Pick<Change, "epoch" | "version">): readonly string[] {
    if (this.isAt(now)) return this.#violations;
    const last = this.#last;
    const stands = last === undefined ? "nothing" : `version ${last.version} of ${last.epoch}`;
    const missing = `the room is at ${now.version} of ${now.epoch}, and it heard of ${stands}`;
    return [...this.#violations, `${this.#name}: ${missing}`];
  }
}
