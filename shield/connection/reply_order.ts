/**
 * The position of an ERR among the answers of its connection. An ERR names no request: a client identifies the frame
 * because everything sent before it has been answered. ACKs name their request and never wait. Plain data: positions
 * are numbers that grow with each received frame.
 */

/** An ERR that waits for earlier answers. */
interface HeldErr<Frame> {
  readonly place: number;
  readonly frame: Frame;
}

/** The order of one connection's answers. */
export class ReplyOrder<Frame> {
  readonly #to: { send(frame: Frame): void };
  /**
   * The only unanswered frame, and its number of pending parts; 0: there is none, or there are several, which are in
   * `#open`. Usually there is one, and a map takes 230 bytes per connection.
   */
  #lone_place = 0;
  #lone_parts = 0;
  /**
   * The positions of several unanswered frames, lowest first, and how many parts of each are pending; absent until
   * there have been several. They are mostly answered in order, for which a map would allocate tables.
   */
  #open: { readonly places: number[]; readonly parts: number[] } | undefined;
  /** Pending parts of frames, and their bytes. */
  pending = 0;
  pending_bytes = 0;
  /** The waiting ERRs, by position. */
  #held: HeldErr<Frame>[] = [];

  constructor(to: { send(frame: Frame): void }) {
    this.#to = to;
  }

  get held(): number {
    return this.#held.length;
  }

  /** Counts another part of a frame. Positions are first opened in order. */
  open(place: number, size_bytes: number): void {
    this.pending++;
    this.pending_bytes += size_bytes;
    if (this.#lone_parts > 0 && this.#lone_place === place) this.#lone_parts++;
    else if (this.#lone_parts === 0 && (this.#open?.places.length ?? 0) === 0) {
      this.#lone_place = place;
      this.#lone_parts = 1;
    } else this.#openMore(place);
  }

  /** Records an answered part: sends the ERRs that waited for its last one. */
  close(place: number, size_bytes: number): void {
    this.pending--;
    this.pending_bytes -= size_bytes;
    if (!this.#isLast(place)) return;
    if (this.#held.length === 0) return;
    const lowest = this.#lowest();
    while (this.#held[0] !== undefined && this.#held[0].place <= lowest) this.#sendFirst();
  }

  /** Sends the ERR for the frame at this position, now or in its turn. */
  err(place: number, frame: Frame): void {
    if (place <= this.#lowest()) return this.#to.send(frame);
    let at = this.#held.length;
    while (at > 0 && (this.#held[at - 1]?.place ?? 0) > place) at--;
    this.#held.splice(at, 0, { place, frame });
  }

  /** Sends all waiting ERRs, in order, since the connection closes. */
  flush(): void {
    while (this.#held.length > 0) this.#sendFirst();
  }

  /** Opens a frame, or a part of one, if others are open. */
  #openMore(place: number): void {
    const open = this.#open ??= { places: [], parts: [] };
    if (this.#lone_parts > 0) {
      open.places.push(this.#lone_place);
      open.parts.push(this.#lone_parts);
    }
    this.#lone_parts = 0;
    const { places, parts } = open;
    let at = places.length;
    while (at > 0 && places[at - 1]! > place) at--;
    if (at > 0 && places[at - 1] === place) parts[at - 1]!++;
    else if (at === places.length) {
      places.push(place);
      parts.push(1);
    } else {
      places.splice(at, 0, place);
      parts.splice(at, 0, 1);
    }
  }

  /** Removes a part; true if it was the last of its frame. */
  #isLast(place: number): boolean {
    if (this.#lone_parts > 0) return place === this.#lone_place && --this.#lone_parts === 0;
    if (this.#open === undefined) return false;
    const { places, parts } = this.#open;
    const at = places.indexOf(place);
    if (at < 0 || --parts[at]! > 0) return false;
    if (at === 0) {
      places.shift();
      parts.shift();
    } else {
      places.splice(at, 1);
      parts.splice(at, 1);
    }
    return true;
  }

  #sendFirst(): void {
    const first = this.#held.shift();
    if (first !== undefined) this.#to.send(first.frame);
  }

  #lowest(): number {
    if (this.#lone_parts > 0) return this.#lone_place;
    return this.#open?.places[0] ?? Infinity;
  }
}
