/** The content negotiation of a request: `Accept` and `Accept-Encoding` (RFC 9110, 12.5). */
import { headerItems } from "./header_list.ts";
import { slice } from "../turns/slices.ts";
import { gzipped } from "./gzip.ts";

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
