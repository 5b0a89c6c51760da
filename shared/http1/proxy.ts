/**
 * Reads what a trusted proxy sends about its client before the client's first byte: the PROXY protocol, version 2
 * (HAProxy, "The PROXY protocol", 2.2). A list of addresses names the trusted peers.
 */
import type { ByteStream } from "./byte_stream.ts";

const SIGNATURE = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];
const HEAD_BYTES = 16;
/** The longest body of a header: addresses, and a proxy's additions. */
const BODY_BYTES_MAX = 4_096;
const LOCAL = 0x20, PROXY = 0x21;
const TCP4 = 0x11, TCP6 = 0x21;

/** The address of the real client. */
export interface ProxySource {
  readonly hostname: string;
  readonly port: number;
}

/** Which peers are proxies. */
export interface ProxyRule {
  isProxy(address: string): boolean;
  /** True if a peer's connections always begin with a header; otherwise it names its client in requests. */
  readonly speaksFirst: boolean;
}

/**
 * Reads a header, and nothing after it. Undefined for the proxy's own connections (health checks) and for other address
 * families. Rejects with TypeError without a header: a trusted proxy always sends one.
 */
export async function readProxyHeader(stream: ByteStream): Promise<ProxySource | undefined> {
  const head = new Uint8Array(HEAD_BYTES);
  await fill(stream, head, (have) => {
    for (let at = 0; at < Math.min(have, SIGNATURE.length); at++) {
      if (head[at] !== SIGNATURE[at]) throw new TypeError("no PROXY header of version 2");
    }
  });
  const body_bytes = (head[14] as number) * 256 + (head[15] as number);
  if (body_bytes > BODY_BYTES_MAX) throw new TypeError("a PROXY header of more than 4 KiB");
  const body = new Uint8Array(body_bytes);
  await fill(stream, body, () => {});
  return sourceOf(head[12], head[13], body);
}

/** Fills the buffer; `look` gets the number of bytes after each read, and may throw. */
async function fill(
  stream: ByteStream,
  buffer: Uint8Array<ArrayBuffer>,
  look: (have: number) => void,
): Promise<void> {
  for (let have = 0; have < buffer.length; look(have)) {
    const count = await stream.read(buffer.subarray(have));
    if (count === null) throw new TypeError("the connection ended within the PROXY header");
    have += count;
  }
}

/** An address in its usual form: IPv6 compressed (RFC 5952), and IPv4 without an IPv6 prefix. */
export function usualAddress(address: string): string {
  // Neither IPv4 nor an address with a zone.
  if (!/^[\da-f.:]*:[\da-f.:]*$/i.test(address)) return address;
  const shown = URL.parse(`http://[${address}]`)?.hostname.slice(1, -1) ?? address;
  const [, high, low] = /^::ffff:([\da-f]+):([\da-f]+)$/.exec(shown) ?? [];
  if (high === undefined || low === undefined) return shown;
  const groups = [high, low].map((group) => Number.parseInt(group, 16));
  return groups.flatMap((group) => [group >> 8, group & 0xff]).join(".");
}

function sourceOf(
  command: number | undefined,
  family: number | undefined,
  addresses: Uint8Array,
): ProxySource | undefined {
  if (command === LOCAL) return undefined;
  if (command !== PROXY) throw new TypeError("a PROXY command that is neither LOCAL nor PROXY");
  if (family === TCP4) {
    if (addresses.length < 12) throw new TypeError("a PROXY header without its addresses");
    return { hostname: addresses.subarray(0, 4).join("."), port: portAt(addresses, 8) };
  }
  if (family === TCP6) {
    if (addresses.length < 36) throw new TypeError("a PROXY header without its addresses");
    const groups = Array.from({ length: 8 }, (_, at) => portAt(addresses, 2 * at).toString(16));
    return { hostname: usualAddress(groups.join(":")), port: portAt(addresses, 32) };
  }
  return undefined;
}

function portAt(bytes: Uint8Array, at: number): number {
  return (bytes[at] as number) * 256 + (bytes[at + 1] as number);
}
