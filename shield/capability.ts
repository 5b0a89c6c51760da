/**
 * The interface between a Shield and its capabilities: what a capability declares, adds to the message path, and
 * starts. Each folder exports its capability in `capability.ts`; `capabilities.ts` lists them, and the kernel knows
 * only that list.
 */
import type { AnswerHandlers } from "../shared/cluster/cluster_answerer.ts";
import type { ClusterNode } from "../shared/cluster/cluster_node.ts";
import type { ConfigChanges } from "../shared/config/live/live_config.ts";
import type { ConfigReloading } from "../shared/config/live/reload.ts";
import type { RoomClassEntry } from "../shared/config/schema_durable.ts";
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
import type { StoreTime } from "../shared/spine/contract/store_time.ts";
import type { Tracing } from "../shared/telemetry/tracing.ts";
import type { AdminFile } from "./admin/admin.ts";
import type { RoomCard } from "./admin/admin_status.ts";
import type { ListedRoute, ServedRoute } from "./admin/routing/admin_routes.ts";
import type { AuditTrail } from "./admin/routing/audit_trail.ts";
import type { Authenticator } from "./auth/authenticate.ts";
import type { Bans } from "./auth/bans.ts";
import type { CommandActions } from "./auth/authorize.ts";
import type { Claims } from "./auth/claims.ts";
import type { OpenRemoteKeys } from "./auth/key_source.ts";
import type { Grant, Identity } from "./auth/identity.ts";
import type { StartedRevocations } from "./auth/revocations.ts";
import type { Cluster } from "./cluster.ts";
import type { Connection } from "./connection/connection.ts";
import type { ConnectionTable } from "./connection/connection_table.ts";
import type { EntranceContext } from "./connection/entrance.ts";
import type { FlushQueue } from "./connection/flush_queue.ts";
import type { ConnectionCounters } from "./connection/limits.ts";
import type { Operations } from "./connection/operations.ts";
import type { Removals } from "./connection/removals.ts";
import { NO_PRESENCE, type Presence } from "./connection/presence.ts";
import type { Patterns, SendMissed } from "./connection/subscribe.ts";
import type { DeliveryNotes, SubscriptionNotes } from "./fanout/delivery_notes.ts";
import type { Deltas } from "./fanout/deltas.ts";
import { type Filters, NO_FILTERS } from "./fanout/filters.ts";
import type { DurableRooms, Hub } from "./fanout/hub.ts";
import type { Forwarding } from "./http/forwarding.ts";
import type { Documents, ForeignEntry, HttpContext } from "./http/http.ts";
import type { CommandRoute } from "./http/http_commands.ts";
import type { ClientRoute, DescribedRoute } from "./http/route.ts";
import type { OwnCommands } from "./message/command.ts";
import { NO_CANDIDATES, NO_POLICIES, NO_SCHEMAS } from "./message/gates.ts";
import type { CandidateVerdicts, Notes, Policies, Quota, Schemas } from "./message/gates.ts";
import { type Logs, NO_LOGS, type NoteRead, type ReadMeter } from "./message/logs.ts";
import type { Observer, Observers } from "./message/observers.ts";
import type { MessagePath } from "./message/pipeline.ts";
import type { SignatureDemands } from "./message/signature.ts";
import type { Traced } from "./message/stamp.ts";
import type { PolicyOutcome, Verdict } from "../shared/records/verdict.ts";
import type { Parameter, Schema } from "./openapi/openapi_parts.ts";
import { type Admission, NO_ADMISSION } from "./rates/admission.ts";
import type { RateTable } from "./rates/rates.ts";
import type { StartedRoomClasses } from "./settings/room_classes.ts";
import type { DocumentKinds } from "./settings/document_kinds.ts";
import type { Settings } from "./settings/settings.ts";
import type { ClientSocket, SocketServer } from "./socket/client_socket.ts";
import type { ShieldStats } from "./stats/stats.ts";
import type { TenantTable } from "./stats/tenant_stats.ts";

/** What a Shield needs from its process. */
export interface ShieldOptions
  extends Pick<Env, "config" | "spine" | "registry" | "log" | "now" | "monotonic_ms" | "random"> {
  /** Its capabilities, in the order in which they start. */
  readonly capabilities: readonly Capability[];
  readonly version: string;
  readonly overseer_log: Logger;
  readonly registry_log: Logger;
  readonly cores: number;
  /** Called on a fatal error: drain the process and exit non-zero. */
  readonly onFatal: (detail: string) => void;
  /** Called if the process runs out of memory: drain it quickly and restart it; `at_once`: end it at once. */
  readonly onExhausted: (detail: string, at_once: boolean) => void;
  /** The logs of the process, whose levels an operator may change; absent: they are fixed. */
  readonly logging?: Pick<Logging, "levels" | "setLevel">;
  /** Reloads the configuration; absent: it is fixed. */
  readonly reloading?: ConfigReloading | undefined;
  /** Drains this process for an operator, like SIGTERM; absent: it cannot be drained. */
  readonly onDrain?: (by: string) => void;
  /** Whether the Spine can store data, for readiness; absent: it is not checked. */
  readonly storage?: () => HealthCheck;
  /** Absent: nothing is traced. */
  readonly tracing?: Tracing | undefined;
  /** Reads key files, at start only. */
  readonly readTextFile: (path: string) => string;
  readonly fetch: typeof fetch;
}

/** The parts that exist before the message path is assembled. */
export interface Ground {
  readonly node_id: string;
  readonly forwarding: Forwarding;
  readonly settings: Settings;
  readonly stats: ShieldStats;
  /** The totals of each tenant. */
  readonly tenants: TenantTable;
  readonly flushes: FlushQueue;
  readonly rooms: StartedRoomClasses;
  readonly revocations: StartedRevocations;
  /** The time that all processes of the bus share. */
  readonly time: StoreTime;
  readonly signatures: SignatureDemands;
  readonly life: OwnLife;
  readonly running: RunningCapabilities;
  /** Ends the parts of the kernel after all clients, the last one to start first. */
  readonly ends: AsyncDisposableStack;
}

/** All parts of one Shield, as assembled by `server.ts`. */
export interface Parts extends Ground, Pick<Given, "logs" | "presence" | "policies"> {
  readonly authenticator: Authenticator;
  readonly counters: ConnectionCounters;
  readonly rates: RateTable;
  readonly cluster: Cluster;
  readonly hub: Hub;
  readonly observers: Observers;
  readonly bans: Bans;
  readonly bans_bucket: KeyValue;
  readonly checks: () => Record<string, HealthCheck>;
  readonly removals: Removals;
  readonly operations: Operations;
  readonly connections: ConnectionTable;
  /** Sockets that are not closed yet, including those whose connection has ended. */
  readonly sockets: Map<ClientSocket, Connection>;
  readonly socket_server: SocketServer;
  readonly started_ms: number;
  /** Start of the drain in Unix ms; 0: not draining. */
  draining_ms: number;
  /** The drain waits only for close frames. */
  hurried: boolean;
  /** The client listener's requests; absent before capabilities start. */
  http?: HttpContext;
  /** Whether the client port answers; absent before it is open. */
  listener?: () => HealthCheck;
}

/** The parts of the admin API's description for a capability, even if a Shield has it switched off. */
export interface AdminSide {
  readonly tables: readonly { list(): Iterable<ListedRoute> }[];
  readonly tags: Readonly<Record<string, string>>;
  /** The path parameters of its routes that are not the kernel's. */
  readonly names?: Readonly<Record<string, Parameter>>;
  /** The schemas that its routes refer to. */
  readonly schemas?: Readonly<Record<string, Schema>>;
}

/** The client listener's side of a capability. */
export interface ClientSide {
  readonly described?: readonly DescribedRoute[];
  readonly commands?: readonly CommandRoute[];
  /** The tags of its routes that are not the kernel's. */
  readonly tags?: Readonly<Record<string, string>>;
  /** The schemas that its routes refer to. */
  readonly schemas?: Readonly<Record<string, Schema>>;
  /** Headers of its requests that pages may send, in addition to the usual ones. */
  readonly headers?: readonly string[];
  /** Makes the routes, before any background work is started. */
  routes?(env: ShieldOptions, parts: Parts, entrance: EntranceContext): ClientRoute[];
}

/** Admission to the client listener, for another protocol. */
export interface Door
  extends Pick<HttpContext, "requireOpen" | "requireCapacity" | "admission" | "pending"> {
  readonly entrance: EntranceContext;
}

/** The parts that capabilities add to the message path: a later capability may replace the part of an earlier one. */
export interface Given {
  readonly admission: Admission;
  readonly policies: Policies;
  readonly schemas: Schemas;
  /** Absent here and below: there is none. */
  readonly quota?: Quota | undefined;
  readonly journal?: Notes | undefined;
  readonly ledger?: DeliveryNotes | undefined;
  readonly marks?: SubscriptionNotes | undefined;
  readonly usage?: EntranceContext["usage"];
  readonly receipts?: MessagePath["receipts"];
  readonly filters: Filters;
  readonly shares?: MessagePath["shares"];
  readonly deltas?: Deltas | undefined;
  readonly traces?: PathTraces | undefined;
  readonly logs: Logs;
  readonly durable?: DurableRooms | undefined;
  readonly sendMissed: SendMissed;
  readonly callerOf?: MessagePath["callerOf"];
  readonly presence: Presence;
  readonly patterns?: Patterns | undefined;
  /** Sends the path's commands to Brains; absent: they are plain requests. */
  readonly commands?: ((spine: MessagePath["spine"]) => MessagePath["commands"]) | undefined;
  /** Compares the verdicts of policies and schemas that only observe. */
  readonly candidates: CandidateVerdicts;
  /** Counts the usage of policies; `room_id` is "" outside rooms. */
  readonly policyUsed?:
    | ((identity: Identity, room_id: string, outcomes: readonly PolicyOutcome[]) => void)
    | undefined;
  /** Called for reads of stored messages. */
  readonly noteRead?: NoteRead | undefined;
  readonly reads?: ReadMeter | undefined;
  /** Whether tenants' own quotas are counted. */
  readonly has_quotas: boolean;
  /**
   * Reads the current usage of a tenant's budgets, so that they apply from then on; absent: budgets are not counted.
   */
  readonly standBudgets?: ((tenant_id: string) => Promise<unknown>) | undefined;
}

/** The message path of a bare gateway. */
const NOTHING: Given = {
  admission: NO_ADMISSION,
  policies: NO_POLICIES,
  schemas: NO_SCHEMAS,
  filters: NO_FILTERS,
  logs: NO_LOGS,
  sendMissed: () => {},
  presence: NO_PRESENCE,
  candidates: NO_CANDIDATES,
  has_quotas: false,
};

/** Spans of messages. */
export interface PathTraces extends Traced {
  /** Records the policies' verdicts about a message, or about a connecting client. */
  judged(about: object, verdict: Verdict): void;
  /** A Spine on which fan-out receives messages, with traced deliveries. */
  traced(spine: Spine, stats: ShieldStats): Pick<Spine, "subscribe" | "onEvent">;
  /** The traced Spine and logs by which the path sends and stores. */
  sending(
    spine: Spine,
    logs: Logs,
    flushes: FlushQueue,
  ): Pick<MessagePath, "spine" | "logs">;
}

/** A store of blocks of a capability. */
export interface KeptBlocks {
  readonly name: BlockStoreName;
  readonly open: () => Promise<BlockStore>;
  /** The data of a user or a room that an erasure keeps, and until when. */
  readonly stays: string;
  /** Makes a user unreadable in them; returns the number of deleted keys. Absent: users are not encrypted by key. */
  readonly eraseUser?: (tenant_id: string, user_id: string) => Promise<number>;
  /** Removes what belongs to a tenant's blocks, after them; absent: nothing does. */
  readonly eraseBeside?: (tenant_id: string) => Promise<void>;
  /** The leaves of a block in a transparency log, in order; absent: it may have none. */
  readonly leavesOf?: (tenant_id: string, block: StoredBlock) => Promise<readonly BlockLeaf[]>;
}

/** The parts of a capability that exist before the message path is assembled. */
export interface Opened<Own = unknown> {
  readonly own?: Own;
  readonly gives?: Partial<Given>;
  /** Observes what happens to messages. */
  readonly observer?: Observer | undefined;
  /** Its stores of tenants' blocks, for exports and erasures. */
  readonly keeps?: readonly KeptBlocks[];
  checks?(): Record<string, HealthCheck>;
  /** Its totals since the start of the Shield. */
  totals?(): Partial<ClusterNode["totals"]>;
  /** Its member of the status for admins. */
  status?(): Record<string, unknown>;
  /** As `Capability.start`. */
  start?(parts: Parts): Running<Own> | Promise<Running<Own>>;
  /** Called after the message path has ended, in reverse order of the list. Never rejects. */
  close?(): void | Promise<void>;
}

/** One capability; `Own` is the part that others may build on. */
export interface Capability<Own = unknown> {
  readonly name: string;
  /** A description in one sentence. */
  readonly title: string;
  /** Its tables of the configuration. */
  readonly config?: readonly (keyof ShieldOptions["config"])[];
  /** Its fields of a tenant's settings. */
  readonly tenant?: readonly string[];
  /** Its fields of a class of rooms. */
  readonly room_class?: readonly (keyof RoomClassEntry)[];
  /** Its buckets and logs on the Spine. */
  readonly stores?: readonly `ARQON_${string}`[];
  readonly client?: ClientSide;
  /** The grants that its commands need; absent, and for others: `command`. */
  readonly actions?: CommandActions;
  /** What answers requests of another protocol, which is asked before all else; undefined: it is switched off. */
  foreign?(env: ShieldOptions, parts: Parts, door: Door): ForeignEntry | undefined;
  /** The grants of that protocol's claims for a token without `grants`; undefined: none. Throws `token-claim`. */
  grantsOf?(env: ShieldOptions, claims: Claims): readonly Grant[] | undefined;
  /** Fetches the keys of issuers. */
  keys?(env: ShieldOptions): OpenRemoteKeys;
  readonly admin?: AdminSide;
  readonly room_card?: RoomCard;
  /** The table of the configuration that switches it off; undefined: it is on. */
  off?(config: ShieldOptions["config"]): string | undefined;
  /** A file below `/console/` of the admin listener; undefined: it has no such file. */
  file?(path: string): Promise<AdminFile | undefined>;
  /** Documents of both listeners that need no token; `all` are all capabilities. */
  documents?(all: readonly Capability[]): Readonly<Record<"admin" | "client", Documents>>;
  /** Opens its parts of the message path, which is not assembled yet. Rejects with `spine-unavailable`. */
  open?(env: ShieldOptions, ground: Ground): Opened<Own> | Promise<Opened<Own>>;
  /** Starts it after the kernel is assembled. Rejects with `spine-unavailable`. */
  start?(env: ShieldOptions, parts: Parts): Running<Own> | Promise<Running<Own>>;
}

/** A running capability. */
export interface Running<Own = unknown> {
  readonly own?: Own;
  /** Its routes on the admin listener; absent: none, or switched off here. */
  readonly routes?: Iterable<ServedRoute>;
  /** Answers commands on this Shield, which do not go to a Brain. */
  readonly commands?: OwnCommands;
  /** Its answers to questions of other processes. */
  readonly questions?: AnswerHandlers;
  /** Kinds of a tenant's state that it stores as separate documents. */
  readonly kinds?: DocumentKinds;
  readonly trail?: AuditTrail | undefined;
  /** Forgets the words of a tenant's users that it remembers for operators, since something was erased. */
  forgets?(tenant_id: string): void;
  /** Registers it for changes of the configuration. */
  follow?(changes: ConfigChanges): void;
  /** Called once the Shield is certain to serve, in the order of the list. */
  begin?(): void | Promise<void>;
  /** Called when a client's socket has closed; its memory is freed afterwards. */
  socketClosed?(socket: ClientSocket, connection: Connection): void;
  /** Called at once when the Shield begins to drain, in the order of the list. */
  drain?(): void;
  /** Ends its background work, one capability after the other, while clients are asked to leave. Never rejects. */
  close?(): Promise<void>;
  /** Called when no client is left, or the drain stops waiting for clients. Never rejects. */
  clientsGone?(): Promise<void>;
  /** Called after clients and kernel have ended, in reverse order. */
  [Symbol.asyncDispose]?(): PromiseLike<void>;
}

/** The grants that the commands of all of them need. */
export const actionsOf = (all: readonly Pick<Capability, "actions">[]): CommandActions =>
  Object.assign({}, ...all.map(({ actions }) => actions));

/** The tables that switch capabilities off: such a capability has no paths in the admin API. */
export function switchedOff(
  { capabilities, config, log }: Pick<ShieldOptions, "capabilities" | "config" | "log">,
): string[] {
  const tables = capabilities.flatMap(({ off }) => off?.(config) ?? []);
  for (const table of tables) {
    // What is a part of `[platform]` is on unless somebody switches it off.
    const [, part] = table.split(".");
    if (part === undefined) continue;
    log.child({ part }).warn("disabled by the configuration: skipped");
  }
  return tables;
}

/** The documents of a listener. */
export const documentsOf = (all: readonly Capability[], side: "admin" | "client"): Documents =>
  Object.assign({}, ...all.map(({ documents }) => documents?.(all)[side]));

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
  /** The parts of the message path that the opened capabilities have added. */
  given: Given = NOTHING;
  readonly #opened = new Map<Capability, Opened>();
  readonly #running = new Map<Capability, Running>();
  readonly #watching: NonNullable<Running["socketClosed"]>[] = [];
  readonly #commands: OwnCommands[] = [];
  readonly #ends = new AsyncDisposableStack();

  /** Opens all of them. Rejects as the first one that fails. */
  async open(list: readonly Capability[], env: ShieldOptions, ground: Ground): Promise<void> {
    for (const capability of list) {
      const opened = await capability.open?.(env, ground);
      if (opened === undefined) continue;
      this.#opened.set(capability, opened);
      this.given = { ...this.given, ...opened.gives };
    }
  }

  /** Starts all of them. Rejects as the first one that fails. */
  async start(list: readonly Capability[], env: ShieldOptions, parts: Parts): Promise<void> {
    for (const capability of list) {
      const opened = this.#opened.get(capability);
      const running = await (opened?.start?.(parts) ?? capability.start?.(env, parts));
      if (running === undefined) continue;
      this.#running.set(capability, running);
      if (env.reloading !== undefined) running.follow?.(env.reloading);
      if (running.commands !== undefined) this.#commands.push(running.commands);
      if (running.socketClosed !== undefined) this.#watching.push(running.socketClosed);
      this.#ends.defer(async () => await running[Symbol.asyncDispose]?.());
    }
  }

  /** The part of a running capability that others may build on; undefined if it is absent or switched off. */
  of<Own>(capability: Capability<Own>): Own | undefined {
    const own = this.#running.get(capability)?.own ?? this.#opened.get(capability)?.own;
    return own as Own | undefined;
  }

  observers(): (Observer | undefined)[] {
    return [...this.#opened.values()].map(({ observer }) => observer);
  }

  /** The capabilities' stores of tenants' blocks. */
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

  /** The answer to a command on this Shield; undefined: no capability answers it. */
  command(name: string): ReturnType<OwnCommands> {
    for (const own of this.#commands) {
      const answer = own(name);
      if (answer !== undefined) return answer;
    }
    return undefined;
  }

  /** The capabilities' admin routes on this Shield. */
  routes(): ServedRoute[] {
    return [...this.#running.values()].flatMap(({ routes }) => [...routes ?? []]);
  }

  roomCards(): RoomCard[] {
    return [...this.#running].flatMap(([{ room_card }, { routes }]) =>
      room_card === undefined || routes === undefined ? [] : [room_card]
    );
  }

  /** The capabilities' answers to questions of other processes. */
  questions(): AnswerHandlers {
    return Object.assign({}, ...[...this.#running.values()].map(({ questions }) => questions));
  }

  forget(tenant_id: string): void {
    for (const running of this.#running.values()) running.forgets?.(tenant_id);
  }

  /** The kinds of a tenant's state of the capabilities started so far. */
  kinds(): DocumentKinds {
    return Object.assign({}, ...[...this.#running.values()].map(({ kinds }) => kinds));
  }

  /** The recorder of admin actions; undefined: there is none. */
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

  /** Ends the capabilities' parts of the message path. */
  async closeOpened(): Promise<void> {
    for (const opened of [...this.#opened.values()].toReversed()) await opened.close?.();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ends.disposeAsync();
  }
}
