/**
 * The place of an ERR among the answers of its connection. An ERR names no request: a client knows
 * which frame it is about because everything sent before that frame has been answered. ACKs name their
 * request and never wait. Plain data: places are numbers that grow with each frame received.
 */

/** An ERR that waits for what is before it. */
interface HeldErr<Frame> {
  readonly place: number;
  readonly frame: Frame;
}

/** The order of one connection's answers. */
export class ReplyOrder<Frame> {
  readonly #send: (frame: Frame) => void;
  /**
   * The frames that are not answered yet, with the number of their parts that are under way. They are
   * added in the order of places, so the first key is the lowest.
   */
  readonly #open = new Map<number, number>();
  /** How many parts of frames are under way, and their bytes. */
  pending = 0;
  pending_bytes = 0;
  /** The ERRs that wait, by place. */
  #held: HeldErr<Frame>[] = [];

  constructor(send: (frame: Frame) => void) {
    this.#send = send;
  }

  /** How many ERRs wait. */
  get held(): number {
    return this.#held.length;
  }

  /** Counts one more part of a frame. Places come here in their order the first time. */
  open(place: number, size_bytes: number): void {
    this.pending++;
    this.pending_bytes += size_bytes;
    this.#open.set(place, (this.#open.get(place) ?? 0) + 1);
  }

  /** Takes note that a part is answered: sends the ERRs that waited for the last of it. */
  close(place: number, size_bytes: number): void {
    this.pending--;
    this.pending_bytes -= size_bytes;
    const parts = this.#open.get(place);
    if (parts === undefined) return;
    if (parts > 1) return void this.#open.set(place, parts - 1);
    this.#open.delete(place);
    if (this.#held.length === 0) return;
    const lowest = this.#lowest();
    while (this.#held[0] !== undefined && this.#held[0].place <= lowest) this.#sendFirst();
  }

  /** Takes the ERR that answers the frame of this place: sends it now, or when its turn has come. */
  err(place: number, frame: Frame): void {
    if (place <= this.#lowest()) return this.#send(frame);
    let at = this.#held.length;
    while (at > 0 && (this.#held[at - 1]?.place ?? 0) > place) at--;
    this.#held.splice(at, 0, { place, frame });
  }

  /** Sends all ERRs that wait, in their order, since the connection closes. */
  flush(): void {
    while (this.#held.length > 0) this.#sendFirst();
  }

  #sendFirst(): void {
    const first = this.#held.shift();
    if (first !== undefined) this.#send(first.frame);
  }

  #lowest(): number {
    return this.#open.keys().next().value ?? Infinity;
  }
}
