/**
 * How an authenticated client becomes a connection: limits, policies, bans, then its socket's events and WELCOME.
 * `upgrade.ts`, `shield/sse/http/events.ts` and `shield/sse/http/sessions.ts` provide the sockets.
 */
import { ArqonError, type Welcome } from "@arqon/proto";
import type { Env } from "../../shared/env.ts";
import { connectionId } from "../../shared/ids.ts";
import { Connection } from "./connection.ts";
import type { ConnectionProcess, Queued } from "./connection.ts";
import type { ConnectionTable } from "./connection_table.ts";
import type { Identity } from "../auth/identity.ts";
import type { ConnectionCounters } from "./limits.ts";
import type { OperationSteps } from "./fifo.ts";
import type { Claim, Presence } from "./presence.ts";
import type { DeliveryNotes, LeftOutRun } from "../fanout/delivery_notes.ts";
import type { LeftOut, RoomMessage } from "../fanout/backlog.ts";
import { Outbox, type OutboxOptions, type Pump } from "../fanout/outbox.ts";
import type { Caller, Client, HeaderPair } from "../message/caller.ts";
import type { Notes, Policies } from "../message/gates.ts";
import type { Observers } from "../message/observers.ts";
import { countDelivery, type UserUse } from "../../shared/records/user_use.ts";
import type { RateTable } from "../rates/rates.ts";
import { policyHeaders } from "../auth/request_headers.ts";
import type { ClientSocket, SocketEvents, Upgraded } from "../socket/client_socket.ts";
import type { ShieldStats } from "../stats/stats.ts";
import type { TenantTable } from "../stats/tenant_stats.ts";

const PROTOCOL_VERSION = 1;

/** The dependencies of `createEntrance`. */
export interface EntranceContext
  extends Pick<Env, "config" | "log" | "node_id" | "now" | "random"> {
  readonly counters: ConnectionCounters;
  /** The rate limits of users, tenants and the process. */
  readonly rates: Pick<RateTable, "open">;
  readonly overseer: Pick<Policies, "onConnect">;
  readonly connections: Pick<ConnectionTable, "add" | "delete" | "get">;
  /** Open sockets with their connections, which may have ended. */
  readonly sockets: Map<ClientSocket, Connection>;
  readonly pump: Pump;
  readonly stats: ShieldStats;
  readonly tenants: Pick<TenantTable, "of">;
  /** The operations of every connection. */
  readonly operations: OperationSteps<Queued>;
  /** Throws if the user is banned from the tenant, or that is unknown. */
  readonly requireNotBanned: (identity: Identity) => void;
  /** True once the process has asked its connections to leave; a late connection is notified at once. */
  readonly isDraining: () => boolean;
  /** Ends one subscription of a connection. */
  readonly leave: ConnectionProcess["leave"];
  /** Ends the subscriptions of a connection that has ended with this close code. */
  readonly leaveAll: (connection: Connection, code: number) => void;
  /** Connections that may move here from a stopping Shield. */
  readonly presence: Pick<Presence, "keep">;
  /** Called when the client's socket has closed. */
  readonly onClosed: (socket: ClientSocket, connection: Connection) => void;
  readonly observers: Observers;
  /** Records connections; absent: not recorded. */
  readonly ledger?: DeliveryNotes | undefined;
  /** Keeps notes of decisions; absent: not recorded. */
  readonly journal?: Notes | undefined;
  /** Finds the object that counts a user's usage; absent: not counted. */
  readonly usage?: { of(identity: Identity): UserUse } | undefined;
}

/** What all connections share. */
export interface Shared {
  readonly process: ConnectionProcess;
  readonly pairs: HeaderPairs;
}

/** Makes what all connections of one kind share. */
export function sharedBy(context: EntranceContext): Shared {
  return { process: connectionProcess(context), pairs: new HeaderPairs() };
}

/** Admits a client with a socket of another kind. Rejects with a refusal. */
export type Entrance = <T extends Opening>(
  request: Request,
  client: Entrant,
  open: () => T,
  form: "text" | "binary",
) => Promise<{ readonly entered: T; readonly connection: Connection }>;

/** Makes the entrance of one process for clients without a WebSocket. */
export function createEntrance(context: EntranceContext): Entrance {
  const shared = sharedBy(context);
  return (request, client, open, form) =>
    enter(context, shared, { request, client, open, text: form === "text" });
}

/** A socket that is about to open. */
type Opening = Pick<Upgraded, "socket" | "listen">;

/** The client. Another protocol may choose the connection's id, which must be unique and unguessable. */
type Entrant = Client & { readonly connection_id?: string };

/** The client, and how its socket is made once nothing has refused it. */
interface Entering<T extends Opening> {
  readonly request: Request;
  readonly client: Entrant;
  readonly text: boolean;
  readonly open: () => T;
}

/** Admits an authenticated client. Rejects with a refusal, or as `open` throws. */
export async function enter<T extends Opening>(
  context: EntranceContext,
  { process, pairs }: Shared,
  { request, client: { identity, remote_ip, connection_id }, text, open }: Entering<T>,
): Promise<{ readonly entered: T; readonly connection: Connection }> {
  const claim = claimOf(context, request, identity);
  const caller: Caller = {
    identity,
    connection_id: claim?.connection_id ?? connection_id ?? connectionId(context.random),
    request_headers: pairs.shared(policyHeaders(request.headers)),
    remote_ip,
  };
  for (const tell of context.observers.connecting) tell(request, caller);
  const note = context.journal?.operation(caller, "on_connect", "");
  let is_counted = false;
  let entered: T;
  try {
    context.counters.acquire(identity);
    is_counted = true;
    await context.overseer.onConnect(caller, note);
    // A ban may have arrived meanwhile; from here on a ban finds the connection.
    context.requireNotBanned(identity);
    if (claim !== undefined) requireLast(context, claim);
    entered = open();
  } catch (cause) {
    if (is_counted) context.counters.release(identity);
    if (note !== undefined) context.journal?.deny(note, cause);
    throw cause;
  }
  if (note !== undefined) context.journal?.allow(note);
  const { socket } = entered;
  const tenant = context.tenants.of(identity.tenant_id);
  const number = context.ledger?.nextConnection();
  const noted_ms = context.ledger?.now_ms;
  const use = context.usage?.of(identity);
  const options = { text, use, number, noted_ms, caller, socket, tenant };
  const connection = new Connection(process, options);
  entered.listen(attach(context, connection));
  return { entered, connection };
}

/**
 * The client's connection on a stopping Shield, if it names one. If that id is in use here, it is another client's; a
 * connection without any message of its client is one that it lost before WELCOME.
 */
function claimOf(
  { presence, connections }: EntranceContext,
  { url }: Request,
  identity: Identity,
): Claim | undefined {
  if (!url.includes("resume=")) return undefined;
  const former = new URL(url).searchParams.get("resume") ?? "";
  return isUsed(connections.get(former)) ? undefined : presence.keep(former, identity);
}

const isUsed = (connection: Connection | undefined): boolean =>
  connection !== undefined && (connection.place > 0 || connection.pending > 0);

/** Ends the connection that the client has lost; throws if the client has reconnected since. */
function requireLast({ connections }: EntranceContext, claim: Claim): void {
  const gone = new ArqonError("heartbeat-lost", "the client has reconnected");
  const former = connections.get(claim.connection_id);
  if (!claim.is_last() || isUsed(former)) throw gone;
  former?.fail(gone);
}

function connectionProcess(context: EntranceContext): ConnectionProcess {
  const { config, stats, log, operations, observers } = context;
  return {
    limits: config.limits,
    rates: context.rates,
    stats,
    now: context.now,
    operations,
    leave: context.leave,
    onEnd(connection, end) {
      context.counters.release(connection.identity);
      context.leaveAll(connection, end.code);
      for (const tell of observers.ended) tell(connection, end);
      if (!context.connections.delete(connection)) return;
      stats.active_connections--;
      connection.tenant.connections--;
    },
    onDenied(connection, room_id, refusal, error) {
      for (const tell of observers.denied) tell(connection, room_id, refusal, error);
    },
    onBug(connection, error) {
      log.error("operation failed", {
        connection: connection.id,
        tenant_id: connection.identity.tenant_id,
        error: error instanceof Error ? error.stack : String(error),
      });
    },
  };
}

function attach(context: EntranceContext, connection: Connection): SocketEvents {
  context.connections.add(connection);
  context.stats.active_connections++;
  connection.tenant.connections++;
  for (const tell of context.observers.entered) tell(connection);
  context.sockets.set(connection.socket, connection);
  return new Attachment(context, connection);
}

/**
 * The socket's events and the outbox's options of a connection. One object per connection, instead of a dozen closures
 * for each of thousands.
 */
class Attachment implements SocketEvents, OutboxOptions {
  readonly #context: EntranceContext;
  readonly #connection: Connection;

  constructor(context: EntranceContext, connection: Connection) {
    this.#context = context;
    this.#connection = connection;
  }

  get tenant_id(): string {
    return this.#connection.identity.tenant_id;
  }

  opened(): void {
    const context = this.#context;
    const connection = this.#connection;
    if (connection.ended) return this.socket.close(1012, "restart");
    connection.open(new Outbox(this), welcome(context, connection));
    // The process has begun to stop while policies or the network delayed the client.
    if (context.isDraining()) connection.sendAway(context.config.server.drain_ms);
  }

  message(data: string | Uint8Array<ArrayBuffer>): void {
    const connection = this.#connection;
    connection.receive(data);
    // The client's messages wait until it has read, as they may be filling its outbox.
    if (connection.outbox?.is_behind === true) this.socket.rest(Infinity);
  }

  onDrained(): void {
    this.socket.rest(0);
  }

  flooded(): void {
    this.#connection.flooded("too many messages are queued, and the sender cannot be paused");
  }

  tooLong(problem: string): void {
    this.#connection.fail(new ArqonError("frame-too-large", problem));
  }

  closed(code: number): void {
    const { socket } = this;
    this.#context.sockets.delete(socket);
    this.#connection.end(code);
    this.#context.onClosed(socket, this.#connection);
  }

  onOverflow(): void {
    this.#connection.overflow();
  }

  onBroken(error: unknown): void {
    this.#connection.broken(error);
  }

  get socket(): ClientSocket {
    return this.#connection.socket;
  }

  get pump(): Pump {
    return this.#context.pump;
  }

  get stats(): ShieldStats {
    return this.#context.stats;
  }

  get text(): boolean {
    return this.#connection.text;
  }

  get unsent_bytes_max(): number {
    return this.#context.config.limits.unsent_bytes;
  }

  get room_bytes_max(): number {
    return this.#context.config.limits.slow_reader_bytes;
  }

  position(): number {
    return this.#context.ledger?.current ?? 0;
  }

  count({ pattern }: RoomMessage, size_bytes: number, by: 1 | -1): void {
    const { stats } = this;
    const { tenant, use } = this.#connection;
    stats.egress_messages += by;
    stats.egress_bytes += by * size_bytes;
    tenant.egress_messages += by;
    if (use !== undefined) countDelivery(use.room(pattern), size_bytes, false, by);
  }

  leftOut(left_out: LeftOut, run: LeftOutRun | undefined): LeftOutRun | undefined {
    const { ledger } = this.#context;
    const { identity, number } = this.#connection;
    const room = ledger?.rooms.find(identity.tenant_id, left_out.room_id);
    if (room === undefined) return undefined;
    const { position, why, is_alone } = left_out;
    if (is_alone) return ledger?.leftOutAlone(room, number, position, why, run);
    return ledger?.leftOut(room, number, position, why, run);
  }
}

function welcome(context: EntranceContext, { id, identity }: Connection): Welcome {
  const { config } = context;
  return {
    connection_id: id,
    user_id: identity.user_id,
    tenant_id: identity.tenant_id,
    server_time_ms: context.now(),
    heartbeat_ms: config.server.heartbeat_ms,
    max_frame_bytes: config.limits.max_frame_bytes,
    token_expires_ms: identity.expires_ms,
    node_id: context.node_id,
    protocol_version: PROTOCOL_VERSION,
  };
}

/** Headers with few different values and no secrets: cached values may outlive their clients. */
const ALIKE = new Set([
  "accept",
  "accept-encoding",
  "accept-language",
  "cache-control",
  "host",
  "origin",
  "pragma",
  "sec-fetch-dest",
  "sec-fetch-mode",
  "sec-fetch-site",
  "user-agent",
  "x-forwarded-host",
  "x-forwarded-port",
  "x-forwarded-proto",
]);
/** The longest value that is shared, in UTF-16 units; longer ones belong to one sender. */
const VALUE_MAX = 256;
/** The most pairs; beyond that, the cache is cleared, and present clients keep theirs. */
const PAIRS_MAX = 1_000;

/** The cached pairs of one process. */
export class HeaderPairs {
  /** The pairs by name and value; no header has a line break. */
  readonly #pairs = new Map<string, HeaderPair>();

  get size(): number {
    return this.#pairs.size;
  }

  /** The same headers, with shared pairs if there are any. */
  shared(headers: readonly HeaderPair[]): readonly HeaderPair[] {
    return headers.map((pair) => this.#shared(pair));
  }

  #shared(pair: HeaderPair): HeaderPair {
    const [name, value] = pair;
    if (!ALIKE.has(name) || value.length > VALUE_MAX) return pair;
    const key = `${name}\n${value}`;
    const kept = this.#pairs.get(key);
    if (kept !== undefined) return kept;
    if (this.#pairs.size >= PAIRS_MAX) this.#pairs.clear();
    this.#pairs.set(key, pair);
    return pair;
  }
}
