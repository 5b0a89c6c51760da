/** Turns `[nats]` into a connection of nats.js, with the server's version checked. No reconnect logic: `nats_link.ts`. */
import { ArqonError } from "@arqon/proto";
import { credsAuthenticator } from "@nats-io/transport-deno";
import type { NatsConnection, NodeConnectionOptions } from "@nats-io/transport-deno";
import { unreadable } from "../config/load.ts";
import type { Config } from "../config/schema.ts";
import { connectGuarded } from "./nats_transport.ts";
import type { Wire } from "./nats_wire.ts";
import { isSupportedNats, OLDEST_NATS } from "./nats_version.ts";

/** The `[nats]` table. */
export type NatsConfig = NonNullable<Config["nats"]>;

/** Pings of our own without an answer, one each `request_timeout_ms`; the next one ends the connection. */
const PINGS_OUT = 2;
/** A process that does nothing else for so long is no reason to give up a server. */
const PING_MS_MIN = 1_000;
/** The longest pause between two attempts to reconnect; the shortest is a tenth of a second. */
const RECONNECT_MS_MAX = 5_000;

/** Pause in ms before attempt `attempt` (0 is the first): exponential, half of it random. */
export function reconnectDelay_ms(attempt: number, random: () => number): number {
  const whole = Math.min(RECONNECT_MS_MAX, 100 * 2 ** Math.min(attempt, 16));
  return whole / 2 + random() * whole / 2;
}

interface Addresses {
  /** `host:port`, without credentials: safe to show. */
  readonly servers: string[];
  readonly tls: boolean;
  readonly user?: string;
  readonly pass?: string;
  readonly token?: string;
}

/** Takes user and password, or a token alone, out of the URLs. */
export function parseAddresses(urls: readonly string[]): Addresses {
  const parsed = urls.map((text) => new URL(text.replace(/^(nats|tls):/, "http:")));
  const servers = parsed.map((url) => `${url.hostname}:${url.port === "" ? "4222" : url.port}`);
  const tls = urls.some((url) => url.startsWith("tls:"));
  const login = parsed.find((url) => url.username !== "");
  if (login === undefined) return { servers, tls };
  const user = decodeURIComponent(login.username);
  if (login.password === "") return { servers, tls, token: user };
  return { servers, tls, user, pass: decodeURIComponent(login.password) };
}

/** What a connection is made from. */
export interface ConnectInput {
  readonly config: NatsConfig;
  /** What is published and received goes by it; absent: all goes by nats.js. */
  readonly wire?: Wire;
  readonly files?: { read(path: string): string };
  /** Called for the pause before each attempt to reconnect, in ms. */
  readonly reconnectDelay: () => number;
}

/** Throws a ConfigError that names the key and the file. */
function readFile({ files }: ConnectInput, key: string, path: string): string {
  if (files === undefined) {
    throw new TypeError(`cannot read ${path}: openSpine was given no way to read files`);
  }
  try {
    return files.read(path);
  } catch (cause) {
    throw unreadable(`nats.${key}`, path, cause);
  }
}

function connectionOptions(input: ConnectInput, addresses: Addresses): NodeConnectionOptions {
  const { config } = input;
  const { servers, tls, ...login } = addresses;
  const options: NodeConnectionOptions = {
    ...login,
    servers,
    name: "arqon",
    timeout: config.connect_timeout_ms,
    maxReconnectAttempts: -1,
    // A server that comes back may refuse us while its own start is under way.
    ignoreAuthErrorAbort: true,
    reconnectDelayHandler: input.reconnectDelay,
    // A server that is frozen looks open for ever: it is given up after three times as long as one
    // answer may take. Until then everything that needs an answer fails by itself.
    pingInterval: Math.max(PING_MS_MIN, config.request_timeout_ms),
    maxPingOut: PINGS_OUT,
    noAsyncTraces: true,
  };
  if (config.credentials_file !== undefined) {
    const text = readFile(input, "credentials_file", config.credentials_file);
    options.authenticator = credsAuthenticator(new TextEncoder().encode(text));
  }
  if (config.tls_ca_file !== undefined) {
    options.tls = { ca: readFile(input, "tls_ca_file", config.tls_ca_file) };
  } else if (tls) {
    options.tls = {};
  }
  return options;
}

/**
 * Connects to one of the servers. Rejects with `spine-unavailable` when none answers within
 * `connect_timeout_ms`, or when the one that does is older than 2.11.
 */
export async function connectNats(input: ConnectInput): Promise<NatsConnection> {
  const addresses = parseAddresses(input.config.urls);
  const options = connectionOptions(input, addresses);
  let connection: NatsConnection;
  try {
    connection = await connectGuarded(options, input.wire);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const where = addresses.servers.join(", ");
    throw new ArqonError("spine-unavailable", `NATS at ${where}: ${why}`, { cause });
  }
  const version = connection.info?.version ?? "unknown";
  if (isSupportedNats(version)) return connection;
  await connection.close();
  throw new ArqonError(
    "spine-unavailable",
    `the NATS server ${connection.getServer()} has version ${version}; ${OLDEST_NATS} or newer is needed`,
  );
}
