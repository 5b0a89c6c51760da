/**
 * The unread rest of a byte stream whose message boundaries differ from its chunk boundaries. It knows no protocol; a
 * parser returns the number of bytes that it consumed.
 */
import { concat } from "../../shared/containers/concat.ts";

const NOTHING = new Uint8Array(0);

/** Bytes that no parser has consumed yet. */
export class Unread {
  #rest: Uint8Array = NOTHING;

  /**
   * Passes the rest together with `chunk` to `parse`, which returns the length of the complete messages in bytes.
   * Without a rest nothing is copied, so messages are views of the chunk.
   */
  take(chunk: Uint8Array, parse: (bytes: Uint8Array) => number): void {
    const bytes = this.#rest.length === 0 ? chunk : concat([this.#rest, chunk]);
    const used = parse(bytes);
    this.#rest = used === bytes.length ? NOTHING : bytes.slice(used);
  }
}
