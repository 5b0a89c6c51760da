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
   * The only frame that is not answered yet, and how many of its parts are under way; 0: there is none, or
   * there are several, which are in `#open`. Mostly there is one, and a map is 230 bytes of each connection.
   */
  #lone_place = 0;
  #lone_parts = 0;
  /**
   * The places of several frames that are not answered yet, lowest first, and how many parts of each are under
   * way; absent until there have been several. They are mostly answered in order: of a map, every few would make
   * a new table.
   */
  #open: { readonly places: number[]; readonly parts: number[] } | undefined;
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
    if (this.#lone_parts > 0 && this.#lone_place === place) this.#lone_parts++;
    else if (this.#lone_parts === 0 && (this.#open?.places.length ?? 0) === 0) {
      this.#lone_place = place;
      this.#lone_parts = 1;
    } else this.#openMore(place);
  }

  /** Takes note that a part is answered: sends the ERRs that waited for the last of it. */
  close(place: number, size_bytes: number): void {
    this.pending--;
    this.pending_bytes -= size_bytes;
    if (!this.#isLast(place)) return;
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

  /** Opens a frame or a part of one where there are others. */
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

  /** Takes a part away; true when it was the last of its frame. */
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
    if (first !== undefined) this.#send(first.frame);
  }

  #lowest(): number {
    if (this.#lone_parts > 0) return this.#lone_place;
    return this.#open?.places[0] ?? Infinity;
  }
}
