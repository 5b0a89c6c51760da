/**
 * Makes one call of a hook: resolves the name, refuses forbidden addresses, connects to exactly the checked address,
 * sends, and reads a limited answer. Follows no redirect and reuses no connection. `signature.ts` signs.
 */
import { lookup } from "node:dns/promises";
import { isPublicAddress } from "./address.ts";
import { type CallAnswer, readAnswer } from "./answer.ts";
import type { Webhooks } from "../config/automation/hooks.ts";

/** One call, with its limits. */
export interface HookCall {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly timeout_ms: number;
  /** Hosts, with or without a port, that may have any address and be called by http. */
  readonly private_hosts: readonly string[];
  /** PEM certificates of additional trusted authorities. */
  readonly ca_certs: readonly string[];
  /** Most bytes of the answer's body that are read; 0: none. */
  readonly answer_bytes: number;
  /** Aborts the call. */
  readonly signal?: AbortSignal | undefined;
}

/** Why there is no answer; the text is for operators. */
export class CallFailed extends Error {
  override readonly name = "CallFailed";
}

const encoder = new TextEncoder();
const TLS = { alpnProtocols: ["http/1.1"] };
const PORTS: Readonly<Record<string, number>> = { "http:": 80, "https:": 443 };

/** The address to connect to. Throws CallFailed if every address is forbidden. */
async function addressOf(url: URL, private_hosts: readonly string[]): Promise<string> {
  const { hostname, host, protocol } = url;
  const is_private = private_hosts.includes(hostname) || private_hosts.includes(host);
  if (protocol !== "https:" && !is_private) {
    throw new CallFailed("http to a host that is not in [webhooks] private_hosts");
  }
  const name = hostname.replace(/^\[|\]$/g, "");
  let found: readonly { readonly address: string }[];
  try {
    found = await lookup(name, { all: true });
  } catch (error) {
    throw new CallFailed(`unknown host name: ${(error as Error).message}`);
  }
  // One forbidden address rejects the name: an attacker could offer both, and wait for the right one.
  const bad = found.find(({ address }) => !is_private && !isPublicAddress(address));
  if (bad !== undefined) throw new CallFailed(`${bad.address} is not a public address`);
  const [first] = found;
  if (first === undefined) throw new CallFailed("the name has no address");
  return first.address;
}

function requestBytes({ host, pathname, search }: URL, { headers, body }: HookCall) {
  const bytes = encoder.encode(body);
  const lines = [
    `POST ${pathname}${search} HTTP/1.1`,
    `host: ${host}`,
    "connection: close",
    "user-agent: ArqonBus",
    `content-length: ${bytes.length}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
  ];
  const head = encoder.encode(`${lines.join("\r\n")}\r\n\r\n`);
  const all = new Uint8Array(head.length + bytes.length);
  all.set(head);
  all.set(bytes, head.length);
  return all;
}

/** A connection that is closed when the call has ended, also if it opens only then. */
class Line {
  #conn: Deno.Conn | undefined;
  #is_over = false;

  /** Throws CallFailed if the call has ended meanwhile. */
  take<Conn extends Deno.Conn>(conn: Conn): Conn {
    this.#conn = conn;
    if (!this.#is_over) return conn;
    this.end();
    throw new CallFailed("the call has ended");
  }

  end(): void {
    this.#is_over = true;
    try {
      this.#conn?.close();
    } catch {
      // It was closed already, or has become a TLS connection.
    }
    this.#conn = undefined;
  }
}

async function exchange(call: HookCall, line: Line): Promise<CallAnswer> {
  const url = new URL(call.url);
  const hostname = await addressOf(url, call.private_hosts);
  const port = url.port === "" ? PORTS[url.protocol] as number : Number(url.port);
  const plain = line.take(await Deno.connect({ hostname, port }));
  const name = url.hostname.replace(/^\[|\]$/g, "");
  const conn = url.protocol === "https:"
    ? line.take(await Deno.startTls(plain, { hostname: name, ...TLS, caCerts: [...call.ca_certs] }))
    : plain;
  const bytes = requestBytes(url, call);
  // The answer is read meanwhile: a receiver may refuse a body before reading all of it.
  const sent = (async () => {
    for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
  })();
  // The answer decides; a server may answer before it has read all.
  sent.catch(() => {});
  return await readAnswer(conn, call.answer_bytes);
}

/** Makes the call. Rejects with CallFailed if no valid answer has come in time. */
export async function callHook(call: HookCall): Promise<CallAnswer> {
  const line = new Line();
  const { promise: over, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new CallFailed(`no answer within ${call.timeout_ms} ms`)),
    call.timeout_ms,
  );
  const onAbort = () => reject(new CallFailed("the call was ended"));
  call.signal?.addEventListener("abort", onAbort);
  if (call.signal?.aborted) onAbort();
  try {
    return await Promise.race([exchange(call, line), over]);
  } catch (error) {
    throw error instanceof CallFailed ? error : new CallFailed((error as Error).message);
  } finally {
    clearTimeout(timer);
    call.signal?.removeEventListener("abort", onAbort);
    line.end();
  }
}

/** The limits in `[webhooks]`. */
export type CallTerms = Pick<HookCall, "private_hosts" | "ca_certs">;

/** For a hook of the configuration or of a tenant. Throws CallFailed if `ca_file` cannot be read. */
export function callTerms(
  { private_hosts, tenant_private_hosts, ca_file }: Webhooks,
  is_tenants: boolean,
  readTextFile: (path: string) => string,
): CallTerms {
  const hosts = is_tenants ? tenant_private_hosts : private_hosts;
  if (ca_file === undefined) return { private_hosts: hosts, ca_certs: [] };
  try {
    return { private_hosts: hosts, ca_certs: [readTextFile(ca_file)] };
  } catch {
    throw new CallFailed(`[webhooks] ca_file ${ca_file} cannot be read`);
  }
}
