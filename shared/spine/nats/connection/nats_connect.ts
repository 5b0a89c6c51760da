/** Opens a nats.js connection from `[nats]` and checks the server's version. `nats_link.ts` reconnects. */
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

/** Client pings that may be unanswered, one each `request_timeout_ms`; the next one closes the connection. */
const PINGS_OUT = 2;
/** The shortest interval of those pings, in ms: a process that is busy for this long must not close its connection. */
const PING_MS_MIN = 1_000;
interface ConnectInput {
  readonly config: NatsConfig;
  /** The fast path for messages beside nats.js; absent: all messages go through nats.js. */
  readonly wire?: Wire;
  readonly files?: { read(path: string): string };
  /** Logs secrets that cannot be read again. */
  readonly log?: Logger;
  /** The pause before each attempt to reconnect, in ms. */
  readonly reconnectDelay: () => number;
}

/** Reads the login files that the table names. Throws a ConfigError that names the key and the file. */
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
    // A restarted server may refuse the login while it is still starting.
    ignoreAuthErrorAbort: true,
    reconnectDelayHandler: reconnectDelay,
    // A frozen server looks connected: the connection is closed after three request timeouts. Until then each request
    // fails by its own timeout.
    pingInterval: Math.max(PING_MS_MIN, config.request_timeout_ms),
    maxPingOut: PINGS_OUT,
    noAsyncTraces: true,
  };
}

/**
 * Connects to one of the servers. Rejects with `spine-unavailable` if none answers within `connect_timeout_ms` or the
 * server is older than 2.11; with a ConfigError if a file of the table is invalid.
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
