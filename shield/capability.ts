/**
 * What a capability gets of a Shield, and what it brings: what it declares, read once at start, what it puts into the
 * way of messages, and what it starts. Its folder says it in `capability.ts`; which of them a Shield has is a list (`capabilities.ts`),
 * and the kernel knows no other name.
 */
import type { AnswerHandlers } from "../shared/cluster/cluster_answerer.ts";
import type { ClusterNode } from "../shared/cluster/cluster_node.ts";
import type { LiveKey } from "../shared/config/keys/live_keys.ts";
import type { ConfigReloading } from "../shared/config/live/reload.ts";
import type { Env } from "../shared/env.ts";
import type { HealthCheck } from "../shared/listeners/ops.ts";
import type { OwnLife } from "../shared/lives/own_life.ts";
import type { Logger } from "../shared/logs/log.ts";
import type { Logging } from "../shared/logs/logging.ts";
import type { BlockLeaf } from "../shared/proof/entry.ts";
import type {
  BlockStore,
  BlockStoreName,
  StoredBlock,
} from "../shared/spine/contract/block_store.ts";
import type { KeyValue, Spine } from "../shared/spine/contract/spine.ts";
import type { Tracing } from "../shared/telemetry/tracing.ts";
import type { AdminFile } from "./admin/admin.ts";
import type { RoomCard } from "./admin/admin_status.ts";
import type { ListedRoute, ServedRoute } from "./admin/routing/admin_routes.ts";
import type { AuditTrail } from "./admin/routing/audited.ts";
import type { Authenticator } from "./auth/authenticate.ts";
import type { Bans } from "./auth/bans.ts";
import type { CommandActions } from "./auth/authorize.ts";
import type { Claims } from "./auth/claims.ts";
import type { Grant, Identity } from "./auth/identity.ts";
import type { StartedRevocations } from "./auth/revoke.ts";
import type { Cluster } from "./cluster.ts";
import type { Connection } from "./connection/connection.ts";
import type { ConnectionTable } from "./connection/connection_table.ts";
import type { EntranceContext } from "./connection/entrance.ts";
import type { FlushQueue } from "./connection/flush_queue.ts";
import type { ConnectionCounters } from "./connection/limits.ts";
import type { Operations } from "./connection/operations.ts";
import { NO_PRESENCE, type Presence } from "./connection/presence.ts";
import type { DeliveryNotes } from "./fanout/delivery_notes.ts";
import type { Deltas } from "./fanout/deltas.ts";
import { type Filters, NO_FILTERS } from "./fanout/filters.ts";
import type { DurableRooms, Hub } from "./fanout/hub.ts";
import type { Forwarding } from "./http/forwarding.ts";
import type { ForeignEntry, HttpContext } from "./http/http.ts";
import type { ClientRoute, DescribedRoute } from "./http/route.ts";
import type { OwnCommands } from "./message/command.ts";
import { NO_CANDIDATES, NO_POLICIES, NO_SCHEMAS } from "./message/gates.ts";
import type { CandidateVerdicts, Notes, Policies, Quota, Schemas } from "./message/gates.ts";
import { type Logs, NO_LOGS } from "./message/logs.ts";
import type { Observer, Observers } from "./message/observers.ts";
import type { MessagePath } from "./message/pipeline.ts";
import type { NoteRead, ReadMeter } from "./message/reads.ts";
import type { SignatureDemands } from "./message/signature.ts";
import type { Traced } from "./message/stamp.ts";
import type { PolicyOutcome, Verdict } from "./message/verdict.ts";
import type { Parameter, Schema } from "./openapi/openapi_parts.ts";
import type { RateTable } from "./rates/rates.ts";
import type { StartedRoomClasses } from "./rooms/start.ts";
import type { DocumentKinds } from "./settings/document_kinds.ts";
import type { Settings } from "./settings/settings.ts";
import type { Signals } from "./signals/signals.ts";
import type { ClientSocket, SocketServer } from "./socket/client_socket.ts";
import type { ShieldStats } from "./stats/stats.ts";
import type { TenantTable } from "./stats/tenant_stats.ts";

/** What a Shield needs from its process. */
export interface ShieldOptions
  extends Pick<Env, "config" | "spine" | "registry" | "log" | "now" | "monotonic_ms" | "random"> {
  /** What it has beside its kernel, in the order in which they start. */
  readonly capabilities: readonly Capability[];
  readonly version: string;
  /** Logger of component `overseer`. */
  readonly overseer_log: Logger;
  /** Logger of component `registry`. */
  readonly registry_log: Logger;
  /** Cores of the machine. */
  readonly cores: number;
  /** The process cannot go on: drain it and exit non-zero. */
  readonly onFatal: (detail: string) => void;
  /**
   * The process has no memory left: drain it in a hurry and start it anew; `at_once`: end it at once.
   */
  readonly onExhausted: (detail: string, at_once: boolean) => void;
  /** The logs of the process, whose levels an operator may change; absent: they stay. */
  readonly logging?: Pick<Logging, "levels" | "setLevel">;
  /** Reads the configuration again; absent: it stays as it is. */
  readonly reloading?: ConfigReloading | undefined;
  /** An operator drains this process: does what SIGTERM does. Absent: it cannot be. */
  readonly onDrain?: (by: string) => void;
  /** Whether the Spine stores what it is given, for readiness; absent: it is not asked. */
  readonly storage?: () => HealthCheck;
  /** Absent: nothing is traced. */
  readonly tracing?: Tracing | undefined;
  /** Reads key files, at start only. */
  readonly readTextFile: (path: string) => string;
  readonly fetch: typeof fetch;
}

/** What there is before the way of messages is put together. */
export interface Ground {
  readonly node_id: string;
  readonly forwarding: Forwarding;
  readonly settings: Settings;
  readonly stats: ShieldStats;
  /** What each tenant has done. */
  readonly tenants: TenantTable;
  readonly flushes: FlushQueue;
  readonly rooms: StartedRoomClasses;
  readonly revocations: StartedRevocations;
  readonly signatures: SignatureDemands;
  /** Says of this Shield that it lives. */
  readonly life: OwnLife;
  /** What the Shield has beside its kernel. */
  readonly running: RunningCapabilities;
}

/** Everything that one Shield consists of, once `server.ts` has put it together. */
export interface Parts extends Ground, Pick<Given, "logs" | "presence" | "policies"> {
  readonly authenticator: Authenticator;
  readonly counters: ConnectionCounters;
  readonly rates: RateTable;
  readonly cluster: Cluster;
  readonly hub: Hub;
  readonly observers: Observers;
  readonly bans: Bans;
  /** The bucket `ARQON_BANS`. */
  readonly bans_bucket: KeyValue;
  /** What readiness asks. */
  readonly checks: () => Record<string, HealthCheck>;
  readonly signals: Signals;
  readonly operations: Operations;
  readonly connections: ConnectionTable;
  /** Sockets that are not closed yet, also those whose connection has ended. */
  readonly sockets: Map<ClientSocket, Connection>;
  readonly socket_server: SocketServer;
  readonly started_ms: number;
  /** 0 until the drain begins. */
  draining_ms: number;
  /** The drain waits for nothing but close frames. */
  hurried: boolean;
  /** Whether the client port answers; absent before it is open. */
  listener?: () => HealthCheck;
}

/** What the description of an admin API needs to know of a capability, also where a Shield has it switched off. */
export interface AdminSide {
  readonly tables: readonly { list(): Iterable<ListedRoute> }[];
  /** Each tag of its routes, and what these are about. */
  readonly tags: Readonly<Record<string, string>>;
  /** What is in braces in their paths, and is not the kernel's. */
  readonly names?: Readonly<Record<string, Parameter>>;
  /** What their descriptions refer to. */
  readonly schemas?: Readonly<Record<string, Schema>>;
}

/** What a capability does on the client listener. */
export interface ClientSide {
  /** Its routes, as the description has them. */
  readonly described: readonly DescribedRoute[];
  /** Each tag of theirs that is not the kernel's. */
  readonly tags?: Readonly<Record<string, string>>;
  /** Headers of its requests beside those of every request: a page may send them. */
  readonly headers?: readonly string[];
  /** Makes the routes, before anything is started that acts on its own. */
  routes(env: ShieldOptions, parts: Parts, entrance: EntranceContext): ClientRoute[];
}

/** Keys of the configuration that may change at any time, and what is done then. */
export interface Followed {
  readonly keys: readonly LiveKey[];
  readonly renew: () => void;
}

/** Who is let in on the client listener, for a protocol that is not ours. */
export interface Door
  extends Pick<HttpContext, "requireOpen" | "requireCapacity" | "admission" | "pending"> {
  readonly entrance: EntranceContext;
}

/** What is in the way of messages, as capabilities put it there: one that is below another may take its place. */
export interface Given {
  readonly policies: Policies;
  readonly schemas: Schemas;
  /** Undefined, as what follows: there is none. */
  readonly quota: Quota | undefined;
  readonly journal: Notes | undefined;
  readonly ledger: DeliveryNotes | undefined;
  readonly usage: EntranceContext["usage"];
  readonly receipts: MessagePath["receipts"];
  readonly filters: Filters;
  readonly shares: MessagePath["shares"];
  readonly deltas: Deltas | undefined;
  readonly traces: PathTraces | undefined;
  readonly logs: Logs;
  readonly durable: DurableRooms | undefined;
  readonly presence: Presence;
  /** Compares what policies and schemas that only observe would have decided. */
  readonly candidates: CandidateVerdicts;
  /** Counts what policies use; `room_id` is "" beside rooms. */
  readonly policyUsed:
    | ((identity: Identity, room_id: string, outcomes: readonly PolicyOutcome[]) => void)
    | undefined;
  /** Learn of reads of stored messages. */
  readonly noteRead: NoteRead | undefined;
  readonly reads: ReadMeter | undefined;
  /** Whether quotas that tenants have of their own are counted. */
  readonly has_quotas: boolean;
  /** Reads how a tenant's budgets stand, so that they hold from then on; undefined: nothing counts budgets. */
  readonly standBudgets: ((tenant_id: string) => Promise<unknown>) | undefined;
}

/** The way of messages of a bare gateway. */
const NOTHING: Given = {
  policies: NO_POLICIES,
  schemas: NO_SCHEMAS,
  quota: undefined,
  journal: undefined,
  ledger: undefined,
  usage: undefined,
  receipts: undefined,
  filters: NO_FILTERS,
  shares: undefined,
  deltas: undefined,
  traces: undefined,
  logs: NO_LOGS,
  durable: undefined,
  presence: NO_PRESENCE,
  candidates: NO_CANDIDATES,
  policyUsed: undefined,
  noteRead: undefined,
  reads: undefined,
  has_quotas: false,
  standBudgets: undefined,
};

/** Spans of messages. */
export interface PathTraces extends Traced {
  /** Notes what policies said of a message, or of a caller that connects. */
  judged(about: object, verdict: Verdict): void;
  /** A Spine on which fan-out receives messages, with traced deliveries. */
  hearing(spine: Spine, stats: ShieldStats): Pick<Spine, "subscribe" | "onEvent">;
  /** The Spine and the logs by which the path sends and stores, traced. */
  sending(
    spine: Spine,
    logs: Logs,
    flushes: FlushQueue,
  ): Pick<MessagePath, "spine" | "logs">;
}

/** A store of blocks that a capability keeps. */
export interface KeptBlocks {
  readonly name: BlockStoreName;
  readonly open: () => Promise<BlockStore>;
  /** What stays of a user or a room, and until when. */
  readonly stays: string;
  /** Makes a user unreadable in them, and tells how many keys that took; absent: users are not named by keys. */
  readonly eraseUser?: (tenant_id: string, user_id: string) => Promise<number>;
  /** What a transparency log has of a block, in its order; absent: it may have none of them. */
  readonly leavesOf?: (tenant_id: string, block: StoredBlock) => Promise<readonly BlockLeaf[]>;
}

/** What a capability has before the way of messages is put together. */
export interface Opened<Own = unknown> {
  readonly own?: Own;
  readonly gives?: Partial<Given>;
  /** Learns what happens to messages. */
  readonly observer?: Observer | undefined;
  /** What it keeps of tenants in blocks, for who exports and erases them. */
  readonly keeps?: readonly KeptBlocks[];
  /** What readiness asks. */
  checks?(): Record<string, HealthCheck>;
  /** Its part of what the Shield counts since its start. */
  totals?(): Partial<ClusterNode["totals"]>;
  /** Its member of the status for admins. */
  status?(): Record<string, unknown>;
  /** As `Capability.start`. */
  start?(parts: Parts): Running<Own> | Promise<Running<Own>>;
  /** The way of messages has ended: called in the backward order of the list. Never rejects. */
  close?(): void | Promise<void>;
}

/** One capability; `Own` is what others may build on. */
export interface Capability<Own = unknown> {
  /** One word of the field. */
  readonly name: string;
  /** One sentence. */
  readonly title: string;
  readonly client?: ClientSide;
  /** The grants that its commands need; absent, and for others: `command`. */
  readonly actions?: CommandActions;
  /** What answers requests of another protocol, which is asked before all else; undefined: it is switched off. */
  foreign?(env: ShieldOptions, parts: Parts, door: Door): ForeignEntry | undefined;
  /**
   * What claims of that protocol grant to a token without `grants`, for every listener; undefined: none of them is
   * there. Throws `token-claim`.
   */
  grantsOf?(env: ShieldOptions, claims: Claims): readonly Grant[] | undefined;
  readonly admin?: AdminSide;
  readonly room_card?: RoomCard;
  /** A file below `/console/` of the admin listener; undefined: it has none there. */
  file?(path: string): Promise<AdminFile | undefined>;
  /** Opens what it puts into the way of messages, which is not there yet. Rejects with `spine-unavailable`. */
  open?(env: ShieldOptions, ground: Ground): Opened<Own> | Promise<Opened<Own>>;
  /** Starts it, once the kernel is assembled. Rejects with `spine-unavailable`. */
  start?(env: ShieldOptions, parts: Parts): Running<Own> | Promise<Running<Own>>;
}

/** A capability at work. */
export interface Running<Own = unknown> {
  readonly own?: Own;
  /** Its routes on the admin listener; absent: none, or switched off here. */
  readonly routes?: Iterable<ServedRoute>;
  /** Answers commands here, which do not go to a Brain. */
  readonly commands?: OwnCommands;
  /** What it answers when a process of the bus asks. */
  readonly questions?: AnswerHandlers;
  /** Kinds of a tenant's state that it stores as documents of their own. */
  readonly kinds?: DocumentKinds;
  /** Writes down what admins do. */
  readonly trail?: AuditTrail | undefined;
  readonly follows?: readonly Followed[] | undefined;
  /** Called when nothing can keep the Shield from serving any longer, in the order of the list. */
  begin?(): void | Promise<void>;
  /** A client's socket has closed, whose memory is freed after this. */
  socketClosed?(socket: ClientSocket, connection: Connection): void;
  /** The Shield begins to drain: called at once, in the order of the list. */
  drain?(): void;
  /** Ends what it does on its own, one after the other, while clients are told to go. Never rejects. */
  close?(): Promise<void>;
  /** No client is left, or none is waited for any longer. Never rejects. */
  clientsGone?(): Promise<void>;
  /** Called when clients and kernel have ended, backwards. */
  [Symbol.asyncDispose]?(): PromiseLike<void>;
}

/** The grants that the commands of all of them need. */
export const actionsOf = (all: readonly Pick<Capability, "actions">[]): CommandActions =>
  Object.assign({}, ...all.map(({ actions }) => actions));

/** Finds a file of any of them. */
export function fileOf(capabilities: readonly Pick<Capability, "file">[]) {
  return async (path: string): Promise<AdminFile | undefined> => {
    for (const { file } of capabilities) {
      const found = await file?.(path);
      if (found !== undefined) return found;
    }
    return undefined;
  };
}

/** The capabilities of one Shield, started in the order of their list. */
export class RunningCapabilities {
  /** What those have put into the way of messages that are opened. */
  given: Given = NOTHING;
  readonly #opened = new Map<Capability, Opened>();
  readonly #running = new Map<Capability, Running>();
  readonly #watching: NonNullable<Running["socketClosed"]>[] = [];
  readonly #commands: OwnCommands[] = [];
  readonly #ends = new AsyncDisposableStack();

  /** Opens all of them. Rejects as the first that cannot open. */
  async open(list: readonly Capability[], env: ShieldOptions, ground: Ground): Promise<void> {
    for (const capability of list) {
      const opened = await capability.open?.(env, ground);
      if (opened === undefined) continue;
      this.#opened.set(capability, opened);
      this.given = { ...this.given, ...opened.gives };
    }
  }

  /** Starts all of them. Rejects as the first that cannot start. */
  async start(list: readonly Capability[], env: ShieldOptions, parts: Parts): Promise<void> {
    for (const capability of list) {
      const opened = this.#opened.get(capability);
      const running = await (opened?.start?.(parts) ?? capability.start?.(env, parts));
      if (running === undefined) continue;
      this.#running.set(capability, running);
      const { follows = [] } = running;
      for (const { keys, renew } of follows) env.reloading?.follow(keys, renew);
      if (running.commands !== undefined) this.#commands.push(running.commands);
      if (running.socketClosed !== undefined) this.#watching.push(running.socketClosed);
      this.#ends.defer(async () => await running[Symbol.asyncDispose]?.());
    }
  }

  /** What a capability has started that others may build on; undefined where it is left out or switched off. */
  of<Own>(capability: Capability<Own>): Own | undefined {
    const own = this.#running.get(capability)?.own ?? this.#opened.get(capability)?.own;
    return own as Own | undefined;
  }

  /** Those who learn what happens to messages. */
  observers(): (Observer | undefined)[] {
    return [...this.#opened.values()].map(({ observer }) => observer);
  }

  /** What they keep of tenants in blocks. */
  keeps(): KeptBlocks[] {
    return [...this.#opened.values()].flatMap(({ keeps = [] }) => keeps);
  }

  checks(): Record<string, HealthCheck> {
    return Object.assign({}, ...[...this.#opened.values()].map((one) => one.checks?.()));
  }

  totals(): Partial<ClusterNode["totals"]> {
    return Object.assign({}, ...[...this.#opened.values()].map((one) => one.totals?.()));
  }

  status(): Record<string, Record<string, unknown>> {
    const all = [...this.#opened].map(([{ name }, one]) => [name, one.status?.()]);
    return Object.fromEntries(all.filter(([, status]) => status !== undefined));
  }

  /** What answers a command here; undefined: nothing does. */
  command(name: string): ReturnType<OwnCommands> {
    for (const own of this.#commands) {
      const answer = own(name);
      if (answer !== undefined) return answer;
    }
    return undefined;
  }

  /** Every route of the admin API that they answer here. */
  routes(): ServedRoute[] {
    return [...this.#running.values()].flatMap(({ routes }) => [...routes ?? []]);
  }

  /** The cards of those whose routes are answered here. */
  roomCards(): RoomCard[] {
    return [...this.#running].flatMap(([{ room_card }, { routes }]) =>
      room_card === undefined || routes === undefined ? [] : [room_card]
    );
  }

  /** What they answer when a process of the bus asks. */
  questions(): AnswerHandlers {
    return Object.assign({}, ...[...this.#running.values()].map(({ questions }) => questions));
  }

  /** The kinds of a tenant's state that those have which are started by now. */
  kinds(): DocumentKinds {
    return Object.assign({}, ...[...this.#running.values()].map(({ kinds }) => kinds));
  }

  /** What writes down what admins do; undefined: nothing. */
  trail(): AuditTrail | undefined {
    for (const { trail } of this.#running.values()) if (trail !== undefined) return trail;
    return undefined;
  }

  async begin(): Promise<void> {
    for (const running of this.#running.values()) await running.begin?.();
  }

  socketClosed(socket: ClientSocket, connection: Connection): void {
    for (const watch of this.#watching) watch(socket, connection);
  }

  drain(): void {
    for (const running of this.#running.values()) running.drain?.();
  }

  async close(): Promise<void> {
    for (const running of this.#running.values()) await running.close?.();
  }

  async clientsGone(): Promise<void> {
    for (const running of this.#running.values()) await running.clientsGone?.();
  }

  /** Ends what was put into the way of messages. */
  async closeOpened(): Promise<void> {
    for (const opened of [...this.#opened.values()].toReversed()) await opened.close?.();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ends.disposeAsync();
  }
}
