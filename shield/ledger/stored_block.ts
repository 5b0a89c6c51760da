/**
 * A block of a stored ledger: rows of one tenant in their memory layout, with the names that they refer to. A row of
 * `KIND.place` replaces rows of other tenants. Bytes only; `store.ts` writes and `former_ledgers.ts` reads blocks.
 */
import { z } from "zod";
import { HEAD_BYTES, PLACE_BYTES, ROW_BYTES_MAX, writeHead, writePlace } from "./row_form.ts";
import type { RowPlace } from "./row_form.ts";

/** Bytes of rows and of their rooms' names in one block; the last ones may exceed it. */
const BLOCK_BYTES = 131_072;
const FIRST_BYTES = 1_024;
const VERSION = 1;

/** The head before the rows. A later format has another `v`. */
const Head = z.strictObject({
  v: z.literal(VERSION),
  /** When the Shield's incarnation started, Unix ms. */
  life_ms: z.number(),
  /** The number of the tenant's block in that incarnation, from 0. */
  number: z.int().min(0),
  /** The time from which nothing is missing, Unix ms: something earlier could not be stored. */
  since_ms: z.number(),
  /** The time of its rows, Unix ms. */
  from_ms: z.number(),
  until_ms: z.number(),
  /** The rooms of its rows, by number. */
  rooms: z.array(z.tuple([z.int(), z.string()])),
});
/** The head of a block. */
export type BlockHead = Omit<z.output<typeof Head>, "v" | "rooms">;

/** A decoded block. */
export interface ReadBlock extends z.output<typeof Head> {
  readonly rows: Uint8Array<ArrayBuffer>;
}

/** A block that is being filled. */
export class BlockDraft {
  readonly #encoder = new TextEncoder();
  readonly #text = new Uint8Array(ROW_BYTES_MAX - HEAD_BYTES);
  readonly #rooms = new Map<number, string>();
  #names_bytes = 0;
  #bytes = new Uint8Array(FIRST_BYTES);
  #view = new DataView(this.#bytes.buffer);
  #used = 0;
  #at: RowPlace = { start_ms: NaN, position: NaN };

  get bytes(): number {
    return this.#used;
  }

  get is_full(): boolean {
    return this.#used + this.#names_bytes >= BLOCK_BYTES;
  }

  name(room: number, room_id: string): void {
    if (room === 0 || this.#rooms.has(room)) return;
    this.#rooms.set(room, room_id);
    this.#names_bytes += JSON.stringify([room, room_id]).length;
  }

  /** Copies a row; `takes` is the number of its own positions. */
  copy(row: Uint8Array, { start_ms, position }: RowPlace, takes: number): void {
    if (this.#at.start_ms !== start_ms || this.#at.position !== position) {
      this.#place({ start_ms, position });
    }
    const start = this.#room(row.length);
    this.#bytes.set(row, start);
    this.#at = { start_ms, position: position + takes };
  }

  add(kind: number, room: number, connection: number, facts: object, time_ms: number): void {
    const { written } = this.#encoder.encodeInto(JSON.stringify(facts), this.#text);
    const { position } = this.#at;
    this.#place({ start_ms: time_ms, position });
    const size = HEAD_BYTES + written;
    const start = this.#room(size);
    writeHead(this.#view, start, kind, size, room, 0, connection);
    this.#bytes.set(this.#text.subarray(0, written), start + HEAD_BYTES);
    this.#at = { start_ms: time_ms, position };
  }

  close(head: BlockHead): Uint8Array<ArrayBuffer> {
    const text = this.#encoder.encode(
      JSON.stringify({ v: VERSION, ...head, rooms: [...this.#rooms] }),
    );
    const bytes = new Uint8Array(4 + text.length + this.#used);
    new DataView(bytes.buffer).setUint32(0, text.length, true);
    bytes.set(text, 4);
    bytes.set(this.#bytes.subarray(0, this.#used), 4 + text.length);
    return bytes;
  }

  #place(place: RowPlace): void {
    // Reserving space may replace the bytes.
    const start = this.#room(PLACE_BYTES);
    writePlace(this.#view, start, place);
  }

  /** Reserves that many bytes; returns the position. */
  #room(size: number): number {
    const start = this.#used;
    if (start + size > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(2 * this.#bytes.length, start + size));
      grown.set(this.#bytes.subarray(0, start));
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    this.#used = start + size;
    return start;
  }
}

/** Reads a block; undefined for invalid bytes. */
export function readBlock(payload: Uint8Array): ReadBlock | undefined {
  if (payload.length < 4) return undefined;
  const length = new DataView(payload.buffer, payload.byteOffset).getUint32(0, true);
  if (4 + length > payload.length) return undefined;
  try {
    const text = new TextDecoder().decode(payload.subarray(4, 4 + length));
    const head = Head.safeParse(JSON.parse(text)).data;
    const rows = new Uint8Array(payload.subarray(4 + length));
    return head === undefined || !isWhole(rows) ? undefined : { ...head, rows };
  } catch {
    return undefined;
  }
}

/** Whether every row ends where the next one begins, as readers require. */
function isWhole(rows: Uint8Array<ArrayBuffer>): boolean {
  const view = new DataView(rows.buffer);
  let start = 0;
  while (start + HEAD_BYTES <= rows.length) {
    const size = view.getUint16(start + 2, true);
    if (size < HEAD_BYTES) return false;
    start += size;
  }
  return start === rows.length;
}
