/**
 * Headers and claims as they travel to a policy worker, as the JSON of each. The claims of a connection are the same
 * for all its messages: they are written once, and read once for as long as the worker remembers them. Never a
 * reason for another answer or price.
 */
import { BoundedMap } from "../../../shared/containers/bounded_map.ts";
import type { PolicyFacts } from "../abi/policy.ts";

/** What the JSON of facts has around that of headers and claims; it is in the price of asking. */
const AROUND_BYTES = '{"headers":,"claims":}'.length;
/** The most claims that a worker remembers, and the longest JSON of them, in UTF-16 units. */
const CLAIMS_MAX = 256;
const CLAIMS_UNITS = 4_096;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The claims that were written, as bytes. */
const written = new WeakMap<PolicyFacts["claims"], Uint8Array>();
/** The claims that were read, by their JSON. */
const read = new BoundedMap<string, PolicyFacts["claims"]>(CLAIMS_MAX);

/** The parts of facts. */
export interface EncodedFacts {
  readonly headers: Uint8Array;
  readonly claims: Uint8Array;
}

/** The parts of facts that travel. */
export function encodeFacts({ headers, claims }: PolicyFacts): EncodedFacts {
  let bytes = written.get(claims);
  if (bytes === undefined) written.set(claims, bytes = encoder.encode(JSON.stringify(claims)));
  return { headers: encoder.encode(JSON.stringify(headers)), claims: bytes };
}

/** The size of facts, on which the price of asking depends: that of their JSON. */
export function factsBytes(headers_bytes: number, claims_bytes: number): number {
  return headers_bytes + claims_bytes + AROUND_BYTES;
}

/** The facts that are there: headers, then claims. They are parsed on the first call. */
export function factsAt(
  bytes: Uint8Array,
  start: number,
  claims_start: number,
  end: number,
): () => PolicyFacts {
  let facts: PolicyFacts | undefined;
  return () =>
    facts ??= {
      headers: JSON.parse(decoder.decode(bytes.subarray(start, claims_start))),
      claims: claimsOf(decoder.decode(bytes.subarray(claims_start, end))),
    };
}

function claimsOf(text: string): PolicyFacts["claims"] {
  const known = read.use(text);
  if (known !== undefined) return known;
  const claims = JSON.parse(text);
  if (text.length <= CLAIMS_UNITS) read.set(text, claims);
  return claims;
}
