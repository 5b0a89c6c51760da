/**
 * The unread rest of a byte stream whose messages do not end where its chunks do. It knows no protocol; a
 * parser says how many bytes it has taken.
 */
import { concat } from "../../shared/containers/concat.ts";

const NOTHING = new Uint8Array(0);

/** Bytes that no parser has taken yet. */
export class Unread {
  #rest: Uint8Array = NOTHING;

  /**
   * Gives `parse` the rest together with `chunk`. `parse` returns the length of the complete messages in
   * bytes. Without a rest nothing is copied, so messages are views of the chunk.
   */
  take(chunk: Uint8Array, parse: (bytes: Uint8Array) => number): void {
    const bytes = this.#rest.length === 0 ? chunk : concat([this.#rest, chunk]);
    const used = parse(bytes);
    this.#rest = used === bytes.length ? NOTHING : bytes.slice(used);
  }
}
