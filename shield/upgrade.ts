/**
 * From an authenticated upgrade request to an open connection: subprotocol, connection limits,
 * socket events, WELCOME. Where sockets come from is `socket/`.
 */
import { ArqonError } from "@arqon/proto";
import type { Config } from "../shared/config/schema.ts";
import { connectionId } from "../shared/ids.ts";
import type { Random } from "../shared/ids.ts";
import type { Logger } from "../shared/log.ts";
import { Connection } from "./connection.ts";
import type { ConnectionOptions } from "./connection_options.ts";
import type { ConnectionTable } from "./connection_table.ts";
import type { Identity } from "./identity.ts";
import type { ConnectionCounters } from "./limits.ts";
import { Outbox } from "./outbox.ts";
import type { Pump } from "./outbox.ts";
import type { Caller, Client, Overseer } from "./policy/overseer.ts";
import type { RateTable } from "./rates.ts";
import { policyHeaders } from "./request_headers.ts";
import { originalOf } from "./request_heir.ts";
import type { ClientSocket, SocketServer, Upgraded } from "./socket/client_socket.ts";
import type { ShieldStats } from "./stats.ts";
import type { TenantTable } from "./tenant_stats.ts";
import { offeredSubprotocols } from "./token.ts";
import type { Traces } from "./traces.ts";

const PROTOCOL_VERSION = 1;
const BINARY = "arqon.v1";
const TEXT = "arqon.v1.json";

/** What an upgrade needs of the process. */
export interface UpgradeContext {
  readonly config: Config;
  readonly node_id: string;
  readonly counters: ConnectionCounters;
  /** What users, tenants and the process may send. */
  readonly rates: Pick<RateTable, "open">;
  readonly overseer: Pick<Overseer, "onConnect">;
  readonly connections: Pick<ConnectionTable, "add" | "delete">;
  /** Sockets that are not closed yet, also those whose connection has ended. */
  readonly sockets: Map<ClientSocket, Connection>;
  readonly socket_server: SocketServer;
  readonly pump: Pump;
  readonly stats: ShieldStats;
  readonly tenants: Pick<TenantTable, "of">;
  readonly log: Logger;
  readonly now: () => number;
  readonly random: Random;
  readonly prepare: ConnectionOptions["prepare"];
  readonly commit: ConnectionOptions["commit"];
  /** Throws when the user is banned from the tenant, or nobody can say. */
  readonly requireNotBanned: (identity: Identity) => void;
  /** The process has told its connections to go; a late one is told at once. */
  readonly isDraining: () => boolean;
  /** The connection has ended, with this close code: frees its subscriptions. */
  readonly leaveAll: (connection: Connection, code: number) => void;
  /** Its socket has closed. */
  readonly onClosed: (socket: ClientSocket, connection: Connection) => void;
  /** Absent: nothing is traced. */
  readonly traces?: Traces | undefined;
}

/** Rejects with a refusal (an HTTP status) or resolves with the 101 response; the rest happens in events. */
export async function upgrade(
  context: UpgradeContext,
  request: Request,
  client: Client,
): Promise<Response> {
  if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
    throw new ArqonError("not-a-websocket", "the Upgrade header is missing");
  }
  const protocol = chooseSubprotocol(offeredSubprotocols(request));
  const caller: Caller = {
    ...client,
    connection_id: connectionId(context.random),
    request_headers: policyHeaders(request.headers),
  };
  context.traces?.carry(request, caller);
  const release = context.counters.acquire(caller.identity);
  let upgraded: Upgraded;
  try {
    await context.overseer.onConnect(caller);
    // A ban may have come meanwhile; from here on it finds the connection.
    context.requireNotBanned(caller.identity);
    upgraded = context.socket_server.upgrade(originalOf(request), protocol);
  } catch (cause) {
    release();
    if (cause instanceof ArqonError) throw cause;
    throw new ArqonError("not-a-websocket", "the handshake headers are not valid", { cause });
  }
  attach(context, upgraded, caller, protocol === TEXT, release);
  return upgraded.response;
}

/** The first offered one that we speak; offering none means `arqon.v1`, unconfirmed. */
function chooseSubprotocol(offered: string[]): string | undefined {
  if (offered.length === 0) return undefined;
  const chosen = offered.find((item) => item === BINARY || item === TEXT);
  if (chosen !== undefined) return chosen;
  throw new ArqonError("unsupported-subprotocol", JSON.stringify(offered.join(", ").slice(0, 100)));
}

function attach(
  context: UpgradeContext,
  { socket, listen }: Upgraded,
  caller: Caller,
  text: boolean,
  release: () => void,
): void {
  const { config, stats, log } = context;
  const tenant = context.tenants.of(caller.identity.tenant_id);
  const connection = new Connection({
    text,
    caller,
    socket,
    limits: config.limits,
    rates: context.rates,
    stats,
    tenant,
    now: context.now,
    window: config.policy.connection_window,
    prepare: context.prepare,
    commit: context.commit,
    onEnd(ended, code) {
      context.leaveAll(ended, code);
      if (context.connections.delete(ended)) {
        stats.active_connections--;
        tenant.connections--;
      }
      release();
    },
    onBug(failed, error) {
      log.error("operation failed", {
        connection: failed.id,
        tenant: failed.identity.tenant_id,
        error: error instanceof Error ? error.stack : String(error),
      });
    },
  });
  context.connections.add(connection);
  stats.active_connections++;
  tenant.connections++;
  context.sockets.set(socket, connection);
  listen({
    opened: () => greet(context, connection, socket),
    message: (data) => connection.receive(data),
    closed(code) {
      context.sockets.delete(socket);
      connection.end(code);
      context.onClosed(socket, connection);
    },
  });
}

function greet(context: UpgradeContext, connection: Connection, socket: ClientSocket): void {
  const { config, pump, stats } = context;
  if (connection.ended) return socket.close(1012, "restart");
  const outbox = new Outbox({
    socket,
    pump,
    stats,
    text: connection.text,
    unsent_bytes_max: config.limits.unsent_bytes,
    room_bytes_max: config.limits.slow_reader_bytes,
    onOverflow: () => connection.overflow(),
  });
  connection.open(outbox, {
    connection_id: connection.id,
    user_id: connection.identity.user_id,
    tenant_id: connection.identity.tenant_id,
    server_time_ms: context.now(),
    heartbeat_ms: config.server.heartbeat_ms,
    max_frame_bytes: config.limits.max_frame_bytes,
    token_expires_ms: connection.identity.expires_ms,
    node_id: context.node_id,
    protocol_version: PROTOCOL_VERSION,
  });
  // Its policies or its network took so long that the process has begun to stop meanwhile.
  if (context.isDraining()) connection.sendAway(config.server.drain_ms);
}
