/**
 * Answers as gzip (RFC 1952), in separately compressed parts: a large body in slices of its tenant, and a stream event
 * by event, so that one compressed event serves all its readers and a reader needs no window. A short event is not
 * compressed. `header_list.ts` decides who gets gzip.
 */
import { constants, crc32, deflateRawSync } from "node:zlib";
import { slice } from "../turns/slices.ts";

/** The level of compression: half of the bytes in a fifth of the time of the default level. */
const LEVEL = 1;
/** The most bytes of a stored block (RFC 1951, 3.2.4). */
const STORED_BYTES_MAX = 65_535;
const STORED_HEAD_BYTES = 5;
/** An empty stored block, which is how zlib flushes: Go's readers hand on nothing of a block before one. */
const FLUSH = [0, 0, 0, 0xff, 0xff];
/** Bytes of a body that are compressed in one piece: half a millisecond, or a whole one. */
const PIECE_BYTES = 32_768;
/** No name, no time, no flags, from Unix. */
const HEAD = new Uint8Array([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);
/** The last block, which is empty. */
const LAST_BLOCK = [3, 0];

/** Events as blocks, for all streams of a process. */
export class EventPacker {
  readonly #from_bytes: number;
  #bytes: Uint8Array | undefined;
  #packed: Uint8Array<ArrayBuffer> | undefined;

  /** `from_bytes`: a shorter event is stored uncompressed. */
  constructor(from_bytes: number) {
    this.#from_bytes = from_bytes;
  }

  /** The blocks of an event; the same bytes in consecutive calls are compressed once. */
  pack(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
    if (bytes.length < this.#from_bytes) return stored(bytes);
    if (this.#packed !== undefined && this.#bytes === bytes) return this.#packed;
    this.#bytes = bytes;
    return this.#packed = compressed(bytes);
  }
}

function compressed(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const whole = deflateRawSync(bytes, { finishFlush: constants.Z_SYNC_FLUSH, level: LEVEL });
  return whole.length < bytes.length ? new Uint8Array(whole) : stored(bytes);
}

function stored(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const blocks = Math.max(1, Math.ceil(bytes.length / STORED_BYTES_MAX));
  const out = new Uint8Array(bytes.length + STORED_HEAD_BYTES * blocks + FLUSH.length);
  const view = new DataView(out.buffer);
  for (let block = 0, at = 0; block < blocks; block++) {
    const part = bytes.subarray(block * STORED_BYTES_MAX, (block + 1) * STORED_BYTES_MAX);
    view.setUint16(at + 1, part.length, true);
    view.setUint16(at + 3, ~part.length & 0xffff, true);
    out.set(part, at + STORED_HEAD_BYTES);
    at += STORED_HEAD_BYTES + part.length;
  }
  out.set(FLUSH, out.length - FLUSH.length);
  return out;
}

/** One stream; its checksum and length are at its end. */
export class GzipStream {
  readonly #packer: EventPacker;
  #sum = 0;
  #size_bytes = 0;

  constructor(packer: EventPacker) {
    this.#packer = packer;
  }

  /** The start of a stream. */
  get head(): Uint8Array<ArrayBuffer> {
    return HEAD;
  }

  /** The bytes of the stream for the next bytes of its content. */
  pack(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
    this.#sum = crc32(bytes, this.#sum);
    this.#size_bytes += bytes.length;
    return this.#packer.pack(bytes);
  }

  end(): Uint8Array<ArrayBuffer> {
    const out = new Uint8Array(LAST_BLOCK.length + 8);
    const view = new DataView(out.buffer);
    out.set(LAST_BLOCK);
    view.setUint32(LAST_BLOCK.length, this.#sum, true);
    view.setUint32(LAST_BLOCK.length + 4, this.#size_bytes % 2 ** 32, true);
    return out;
  }
}

/** A whole body, compressed in slices of its tenant. */
export async function gzipped(
  body: Uint8Array,
  tenant_id: string,
): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new GzipStream(new EventPacker(0));
  const parts = [stream.head];
  for (let at = 0; at < body.length; at += PIECE_BYTES) {
    await slice(tenant_id);
    parts.push(stream.pack(body.subarray(at, at + PIECE_BYTES)));
  }
  parts.push(stream.end());
  return await new Blob(parts).bytes();
}
