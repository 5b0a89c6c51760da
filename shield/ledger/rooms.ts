/**
 * The rooms that the rows of a ledger are about, by number. A room is forgotten when nobody here receives
 * it and no row is about it any longer.
 */

/** What one room takes beside its ids, in bytes, as measured; an id's characters are bytes. */
const ROOM_BYTES = 250;

/** A room with subscribers here, or with rows. */
export interface LedgerRoom {
  readonly number: number;
  readonly tenant_id: string;
  readonly room_id: string;
  /** The number of the last segment that has a row of it. */
  last_segment: number;
  is_open: boolean;
}

const keyOf = (tenant_id: string, room_id: string) => `${tenant_id}\n${room_id}`;

const sizeOf = ({ tenant_id, room_id }: LedgerRoom) =>
  ROOM_BYTES + 2 * (tenant_id.length + room_id.length);

/** The rooms of one ledger. */
export class LedgerRooms {
  readonly #by_key = new Map<string, LedgerRoom>();
  readonly #by_number = new Map<number, LedgerRoom>();
  #last = 0;
  #bytes = 0;

  /** What the rooms take in memory, about. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The room from now on; `segment` is the number of the present one. */
  open(tenant_id: string, room_id: string, segment: number): LedgerRoom {
    const key = keyOf(tenant_id, room_id);
    const known = this.#by_key.get(key);
    if (known !== undefined) {
      known.is_open = true;
      return known;
    }
    const room: LedgerRoom = {
      number: ++this.#last,
      tenant_id,
      room_id,
      last_segment: segment,
      is_open: true,
    };
    this.#by_key.set(key, room);
    this.#by_number.set(room.number, room);
    this.#bytes += sizeOf(room);
    return room;
  }

  /** The room for a row about it, whether or not anybody receives it here. */
  named(tenant_id: string, room_id: string): LedgerRoom {
    const known = this.find(tenant_id, room_id);
    if (known !== undefined) return known;
    const room = this.open(tenant_id, room_id, 0);
    room.is_open = false;
    return room;
  }

  find(tenant_id: string, room_id: string): LedgerRoom | undefined {
    return this.#by_key.get(keyOf(tenant_id, room_id));
  }

  /** The room's number, as a list. */
  numbersOf(tenant_id: string, room_id: string): readonly number[] {
    const room = this.find(tenant_id, room_id);
    return room === undefined ? [] : [room.number];
  }

  of(number: number): LedgerRoom | undefined {
    return this.#by_number.get(number);
  }

  /** Forgets the rooms that only that segment and those before it were about. */
  forget(segment: number): void {
    for (const room of this.#by_number.values()) {
      if (room.is_open || room.last_segment > segment) continue;
      this.#by_number.delete(room.number);
      this.#by_key.delete(keyOf(room.tenant_id, room.room_id));
      this.#bytes -= sizeOf(room);
    }
  }
}
