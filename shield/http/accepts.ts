/** What a request takes as an answer: `Accept` and `Accept-Encoding` (RFC 9110, 12.5). Pure. */
import { gzip } from "node:zlib";
import { headerItems } from "../../shared/http1/header_list.ts";

/** A shorter body is sent as it is. */
const FROM_BYTES = 1_024;
/** The level of compression: half of the bytes for a fifth of the time that the usual level takes. */
const LEVEL = 1;

/** Whether a list takes one of these, which are in lower case; a weight of 0 takes nothing. */
export function isAccepted(list: string, names: readonly string[]): boolean {
  return headerItems(list.toLowerCase()).some((item) => {
    const [name = "", ...parameters] = item.split(";").map((part) => part.trim());
    return names.includes(name) && !parameters.some((one) => /^q=0(\.0*)?$/.test(one));
  });
}

/** Whether a request takes gzip by name: `*` alone is what programs say that never decompress. */
export function acceptsGzip({ headers }: Request): boolean {
  return isAccepted(headers.get("accept-encoding") ?? "", ["gzip", "x-gzip"]);
}

/** An answer whose body is there, compressed where the request takes that and it is worth it. */
export async function answerWith(
  request: Request,
  body: Uint8Array<ArrayBuffer>,
  headers: Record<string, string>,
): Promise<Response> {
  const all = new Headers(headers);
  all.append("vary", "accept-encoding");
  if (body.length < FROM_BYTES || !acceptsGzip(request)) {
    return new Response(body, { headers: all });
  }
  all.set("content-encoding", "gzip");
  return new Response(await compressed(body), { headers: all });
}

function compressed(body: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array<ArrayBuffer>>();
  gzip(body, { level: LEVEL }, (error, bytes) => {
    if (error) reject(error);
    else resolve(new Uint8Array(bytes));
  });
  return promise;
}
