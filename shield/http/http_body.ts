/** The body of a client's HTTP request: its type, its bytes within limits, its text. */
import { ArqonError } from "@arqon/proto";
import { mediaType } from "../../shared/listeners/request_body.ts";
import { slice } from "../../shared/turns/slices.ts";

const PROTOBUF = ["application/protobuf", "application/x-protobuf"];
/** Body size below which waiting for a slice costs more than the work, in bytes. */
const SLICED_BYTES = 1_024;
/** Longest content type that a refusal repeats, in UTF-16 units. */
const SHOWN_UNITS = 100;

/** Whether a body is Protobuf. Throws `unsupported-media-type` (415) if it is not JSON either. */
export function isProtobufBody(request: Request): boolean {
  const type = mediaType(request);
  if (PROTOBUF.includes(type)) return true;
  if (type === "application/json") return false;
  throw wrongType(type, "application/json or application/protobuf");
}

/** Throws `unsupported-media-type` (415) unless the body is JSON. */
export function requireJson(request: Request): void {
  const type = mediaType(request);
  if (type !== "application/json") throw wrongType(type, "application/json");
}

function wrongType(type: string, right: string): ArqonError {
  const shown = JSON.stringify(type.slice(0, SHOWN_UNITS));
  return new ArqonError("unsupported-media-type", `${shown}; expected ${right}`);
}

/**
 * Reads a body and counts its bytes, since a Content-Length may lie or be absent; work on a large one then waits for
 * the tenant's slice. Rejects with `too-large` (413), with `unsupported-media-type` (415) for a compressed one, and
 * with `malformed-body` for a body that ends early.
 */
export async function readBody(
  request: Request,
  bytes_max: number,
  tenant_id: string,
): Promise<Uint8Array> {
  const tooLarge = () => new ArqonError("too-large", `a body over ${bytes_max} bytes`);
  if (Number(request.headers.get("content-length") ?? 0) > bytes_max) throw tooLarge();
  const encoding = request.headers.get("content-encoding") ?? "identity";
  if (encoding.trim().toLowerCase() !== "identity") {
    const shown = JSON.stringify(encoding.slice(0, SHOWN_UNITS));
    throw new ArqonError("unsupported-media-type", `Content-Encoding ${shown}; expected none`);
  }
  const body = new Uint8Array(new ArrayBuffer(0, { maxByteLength: bytes_max }));
  if (request.body === null) return body;
  let size_bytes = 0;
  try {
    for await (const chunk of request.body) {
      if (size_bytes + chunk.length > bytes_max) throw tooLarge();
      body.buffer.resize(size_bytes + chunk.length);
      body.set(chunk, size_bytes);
      size_bytes += chunk.length;
    }
  } catch (cause) {
    if (cause instanceof ArqonError) throw cause;
    // A client that disconnects during its body is not a bug.
    throw new ArqonError("malformed-body", "it ended early", { cause });
  }
  if (size_bytes >= SLICED_BYTES) await slice(tenant_id);
  return body.slice();
}

/** Decodes a body as text. Throws `malformed-body` if the bytes are not UTF-8. */
export function bodyText(body: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(body);
  } catch (cause) {
    throw new ArqonError("malformed-body", "not UTF-8", { cause });
  }
}

/**
 * Prepends members to the text of a JSON object: `start` is the beginning of an object without its end. Throws
 * `malformed-body`, with a valid example, for a text that does not begin as an object; the reader checks the rest.
 */
export function objectWith(start: string, text: string, example: string): string {
  const rest = /^[ \t\r\n]*\{([^]*)$/.exec(text)?.[1];
  if (rest === undefined) {
    throw new ArqonError("malformed-body", `expected an object such as ${example}`);
  }
  return `${start}${/^[ \t\r\n]*\}/.test(rest) ? "" : ","}${rest}`;
}
