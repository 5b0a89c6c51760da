/**
 * Makes a connection of nats.js from `[nats]`, with the server's version checked. Reconnecting is
 * `nats_link.ts`.
 */
import { ArqonError } from "@arqon/proto";
import type { NatsConnection, NodeConnectionOptions } from "@nats-io/transport-deno";
import { natsFiles } from "../../../config/named_files.ts";
import type { Config } from "../../../config/schema.ts";
import type { Logger } from "../../../logs/log.ts";
import { NatsLogin, parseAddresses } from "./nats_login.ts";
import { connectGuarded } from "./nats_transport.ts";
import type { Wire } from "./nats_wire.ts";
import { isSupportedNats, OLDEST_NATS } from "./nats_version.ts";

/** The `[nats]` table. */
export type NatsConfig = NonNullable<Config["nats"]>;

/**
 * Pings of our own that may be unanswered, one each `request_timeout_ms`; the next one ends the
 * connection.
 */
const PINGS_OUT = 2;
/**
 * The least time between those pings, in ms: a process that is busy for so long is no reason to
 * give up a server.
 */
const PING_MS_MIN = 1_000;
/** What a connection is made from. */
export interface ConnectInput {
  readonly config: NatsConfig;
  /** What messages go by, past nats.js; absent: all go through nats.js. */
  readonly wire?: Wire;
  readonly files?: { read(path: string): string };
  /** Where it is logged that secrets cannot be read again. */
  readonly log?: Logger;
  /** The pause before each attempt to reconnect, in ms. */
  readonly reconnectDelay: () => number;
}

/**
 * Reads the login files that the table names. Throws a ConfigError that names the key and the file.
 */
function openLogin({ config, files, log }: ConnectInput): NatsLogin {
  const [first] = natsFiles(config);
  if (files === undefined && first !== undefined) {
    throw new TypeError(`cannot read ${first.path}: openSpine was given no way to read files`);
  }
  return new NatsLogin(config, (path) => files?.read(path) ?? "", log);
}

function connectionOptions(
  { config, reconnectDelay }: ConnectInput,
  servers: string[],
  { authenticator }: NatsLogin,
): NodeConnectionOptions {
  return {
    servers,
    authenticator,
    name: "arqon",
    timeout: config.connect_timeout_ms,
    maxReconnectAttempts: -1,
    // A server that comes back may refuse us while its own start is under way.
    ignoreAuthErrorAbort: true,
    reconnectDelayHandler: reconnectDelay,
    // A server that is frozen looks open for ever: it is given up after three times as long as one
    // answer may take. Until then everything that needs an answer fails on its own.
    pingInterval: Math.max(PING_MS_MIN, config.request_timeout_ms),
    maxPingOut: PINGS_OUT,
    noAsyncTraces: true,
  };
}

/**
 * Connects to one of the servers. Rejects with `spine-unavailable` when none answers within
 * `connect_timeout_ms`, or when the one that does is older than 2.11; with a ConfigError when a file of
 * the table cannot be used.
 */
export async function connectNats(input: ConnectInput): Promise<NatsConnection> {
  const { servers } = parseAddresses(input.config.urls);
  const login = openLogin(input);
  const options = connectionOptions(input, servers, login);
  let connection: NatsConnection;
  try {
    connection = await connectGuarded(options, { login, wire: input.wire });
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const where = servers.join(", ");
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
