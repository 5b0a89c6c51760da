/**
 * Pairs of request headers that many clients send alike (their browser, the host that they ask for),
 * kept once for all of them: policies may see the headers of a connection as long as it lives. Which
 * headers those are is `request_headers.ts`.
 */
import type { HeaderPair } from "../message/caller.ts";

/** Headers with few different values and no secrets: what is kept here may outlive its clients. */
const ALIKE = new Set([
  "accept",
  "accept-encoding",
  "accept-language",
  "cache-control",
  "host",
  "origin",
  "pragma",
  "sec-fetch-dest",
  "sec-fetch-mode",
  "sec-fetch-site",
  "user-agent",
  "x-forwarded-host",
  "x-forwarded-port",
  "x-forwarded-proto",
]);
/** The longest value that is shared, in UTF-16 units; longer ones belong to one sender. */
const VALUE_MAX = 256;
/** The most pairs; when there are more, the map begins anew, and clients that are there keep theirs. */
const PAIRS_MAX = 1_000;

/** The pairs of one process. */
export class HeaderPairs {
  /** The pairs by name and value; no header has a line break. */
  readonly #pairs = new Map<string, HeaderPair>();

  get size(): number {
    return this.#pairs.size;
  }

  /** The same headers, with shared pairs where there are any. */
  shared(headers: readonly HeaderPair[]): readonly HeaderPair[] {
    return headers.map((pair) => this.#shared(pair));
  }

  #shared(pair: HeaderPair): HeaderPair {
    const [name, value] = pair;
    if (!ALIKE.has(name) || value.length > VALUE_MAX) return pair;
    const key = `${name}\n${value}`;
    const kept = this.#pairs.get(key);
    if (kept !== undefined) return kept;
    if (this.#pairs.size >= PAIRS_MAX) this.#pairs.clear();
    this.#pairs.set(key, pair);
    return pair;
  }
}
