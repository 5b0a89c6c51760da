/**
 * Which Shield has told of which stay, and since when. A client that comes to a Shield which has not
 * heard of a member yet gets a list without it, and takes that for a leave: while a server of NATS
 * stands still, nobody but the member's own Shield knows of it. Knows no socket.
 */

/** The connection on which somebody heard something. */
export interface HearingConnection {
  readonly node_id: string;
  /** By the run's clock. */
  readonly opened_ms: number;
  /** What its client was told there and is still told; kept by `News`. */
  readonly told: Set<string>;
}

/** A member's time in one room, as others are told of it. */
export interface ToldStay {
  readonly room_id: string;
  readonly connection_id: string;
  readonly joined_ms: number;
}

interface Spread {
  /** When anybody was told of it first; by the run's clock. */
  readonly first_ms: number;
  /** When each Shield told of it first, by node. */
  readonly shields: Map<string, number>;
}

/** A client that has come to a Shield has its list within this time, also when it has to ask again. */
const COMING_MS = 10_000;

const keyOf = ({ room_id, connection_id, joined_ms }: ToldStay) =>
  `${room_id}/${connection_id}/${joined_ms}`;

/** What all clients of a run were told. It keeps a line for each stay of the run. */
export class News {
  readonly #stays = new Map<string, Spread>();

  /** Takes note that a client was told on this connection that the member is there. */
  there(on: HearingConnection, stay: ToldStay, now_ms: number): void {
    const key = keyOf(stay);
    const spread = this.#stays.get(key) ?? { first_ms: now_ms, shields: new Map() };
    this.#stays.set(key, spread);
    if (!spread.shields.has(on.node_id)) spread.shields.set(on.node_id, now_ms);
    on.told.add(key);
  }

  /**
   * Takes note that the member was told to be gone. True when the Shield may never have heard of it: the
   * client has just come, was not told of the stay on this connection, nor was anybody by this Shield
   * before the client came, and the stay is younger than `late_ms`.
   */
  gone(on: HearingConnection, stay: ToldStay, now_ms: number, late_ms: number): boolean {
    const key = keyOf(stay);
    if (on.told.delete(key)) return false;
    const spread = this.#stays.get(key);
    if (spread === undefined || now_ms - spread.first_ms >= late_ms) return false;
    if (now_ms - on.opened_ms >= COMING_MS) return false;
    return (spread.shields.get(on.node_id) ?? Infinity) > on.opened_ms;
  }
}
