/** The client listener: addresses, TLS, WebSocket, drains, server-sent events. */
import { BlockList, isIP } from "node:net";
import { z } from "zod";
import { always, id, port } from "./values/schema_values.ts";

/** Whether a text is an address or a network in CIDR form. */
function isNetwork(text: string): boolean {
  const [address = "", bits, ...more] = text.split("/");
  const family = isIP(address);
  if (family === 0 || more.length > 0) return false;
  return bits === undefined ||
    /^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128);
}

/** A function that returns whether an address is in a list of addresses and networks. Each text passes `isNetwork`. */
export function networksOf(texts: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const text of texts) {
    const [address = "", bits] = text.split("/");
    const family = isIP(address) === 4 ? "ipv4" : "ipv6";
    if (bits === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(bits), family);
  }
  return (address) => {
    const family = isIP(address);
    return family !== 0 && list.check(address, family === 4 ? "ipv4" : "ipv6");
  };
}

/** `[server]`. */
export const Server = z.strictObject({
  host: z.string().min(1).default("0.0.0.0").describe("address of the client listener"),
  port: port(4000),
  node_id: id.optional().describe(
    "name of this process in WELCOME, logs and metrics; absent: random",
  ),
  allowed_origins: z.array(z.string().min(1)).default([]).describe(
    'allowed browser origins, for example "https://app.example.com"; a trailing "*" matches any remainder; requests without Origin are not browsers and always pass',
  ),
  tls_cert: z.string().min(1).optional().describe(
    "file with the PEM certificate chain; with tls_key the listener speaks TLS",
  ),
  tls_key: z.string().min(1).optional().describe("file with the PEM private key"),
  heartbeat_ms: z.int().min(1_000).max(600_000).default(25_000).describe(
    "interval of PINGs; a client silent for three is closed with 4408",
  ),
  drain_ms: z.int().min(0).max(600_000).default(5_000).describe(
    "window for clients to move to another node while this one stops; clients cut off then reconnect spread over the same time",
  ),
  drain_timeout_ms: z.int().min(1_000).max(3_600_000).default(30_000).describe(
    "a stopping process has ended after this, whatever is unfinished",
  ),
  websocket: z.enum(["native", "own"]).default("own").describe(
    "WebSocket implementation: Deno's sockets, or our own frames on TCP, which can cut clients off, bound strangers and serve crowds cheaper (docs/floods.md)",
  ),
  trusted_proxies: z.array(
    z.string().refine(isNetwork, {
      error: 'expected an address or a network, for example "10.0.0.0/8"',
    }),
  ).default([]).describe(
    "addresses and networks of proxies that are trusted to name clients' addresses",
  ),
  proxy_protocol: z.boolean().default(false).describe(
    "connections of trusted proxies begin with a PROXY protocol v2 header with the client's address; else each request has it in forwarded_header",
  ),
  forwarded_header: z.enum(["x-forwarded-for", "forwarded"]).default("x-forwarded-for").describe(
    "the only header in which trusted proxies name the client",
  ),
  permessage_deflate: z.boolean().default(false).describe(
    "compress messages for clients that offer it, at about 20 µs of CPU per direction and message (own sockets)",
  ),
  data_dir: z.string().min(1).optional().describe(
    "folder of the embedded Spine's key-value data; absent: in memory",
  ),
}).refine((server) => server.tls_cert === undefined || server.tls_key !== undefined, {
  error: "tls_cert is set without tls_key; expected both or neither",
  path: ["tls_cert"],
  ...always,
}).refine((server) => server.tls_key === undefined || server.tls_cert !== undefined, {
  error: "tls_key is set without tls_cert; expected both or neither",
  path: ["tls_key"],
  ...always,
}).refine(({ proxy_protocol, trusted_proxies }) => !proxy_protocol || trusted_proxies.length > 0, {
  error: "proxy_protocol is set without trusted_proxies; expected the addresses of the proxies",
  path: ["proxy_protocol"],
  ...always,
}).refine((server) => {
  return !(server.proxy_protocol && server.websocket === "native" && server.tls_cert !== undefined);
}, {
  error:
    'native sockets with TLS cannot read a PROXY header; expected websocket = "own", or a proxy that ends TLS',
  path: ["proxy_protocol"],
  ...always,
}).refine(({ drain_ms, drain_timeout_ms }) => drain_timeout_ms >= 2 * drain_ms, {
  error: "expected at least twice drain_ms",
  path: ["drain_timeout_ms"],
  ...always,
});

/** `[sse]`, whose values are all constants. */
export const Sse = z.strictObject({});
