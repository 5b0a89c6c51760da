/**
 * Headers that are lists (RFC 9110, 5.6.1): white space around items is optional, empty items do not count, and
 * several lines are one list. No quoted strings. And the content negotiation by `Accept` and `Accept-Encoding` (12.5).
 */

import { slice } from "../turns/slices.ts";
import { gzipped } from "./gzip.ts"; /** The characters of a token (RFC 9110, 5.6.2). */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** The items of a list header, in order. */
export function headerItems(value: string | null): string[] {
  if (value === null) return [];
  return value.split(",").map((item) => item.replace(/^[ \t]+|[ \t]+$/g, ""))
    .filter((item) => item !== "");
}

/** Whether the list has this item. `wanted` is in lower case; the list's case is ignored. */
export function hasItem(value: string | null, wanted: string): boolean {
  return headerItems(value).some((item) => item.toLowerCase() === wanted);
}

/** Whether the text is a token, as every item of these lists must be. */
export function isToken(item: string): boolean {
  return TOKEN.test(item);
}

/** A shorter body is sent uncompressed. */
const FROM_BYTES = 1_024;

/** Whether a list accepts one of these names, which are in lower case; a weight of 0 accepts nothing. */
export function isAccepted(list: string, names: readonly string[]): boolean {
  return headerItems(list.toLowerCase()).some((item) => {
    const [name = "", ...parameters] = item.split(";").map((part) => part.trim());
    return names.includes(name) && !parameters.some((one) => /^q=0(\.0*)?$/.test(one));
  });
}

/** Whether a request names gzip: programs that never decompress send `*` alone. */
export function acceptsGzip({ headers }: Request): boolean {
  return isAccepted(headers.get("accept-encoding") ?? "", ["gzip", "x-gzip"]);
}

/**
 * An answer with a complete body, compressed if the request accepts that and it saves bytes. It is compressed in slices
 * of the tenant, whose readers may all wait for the same body.
 */
export async function answerWith(
  request: Request,
  body: Uint8Array,
  headers: Record<string, string>,
  tenant_id: string,
): Promise<Response> {
  await slice(tenant_id);
  const all = new Headers(headers);
  all.append("vary", "accept-encoding");
  if (body.length < FROM_BYTES || !acceptsGzip(request)) {
    return new Response(new Uint8Array(body), { headers: all });
  }
  all.set("content-encoding", "gzip");
  return new Response(await gzipped(body, tenant_id), { headers: all });
}
