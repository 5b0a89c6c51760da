/** The parts of one Shield, once `server.ts` has put them together. Types only. */
import type { HealthCheck } from "../shared/listeners/ops.ts";
import type { KeyValue } from "../shared/spine/contract/spine.ts";
import type { RunningCapabilities } from "./capability.ts";
import type { TenantEvents } from "./hooks/tenant_events.ts";
import type { Authenticator } from "./auth/authenticate.ts";
import type { Bans } from "./auth/bans.ts";
import type { Connection } from "./connection/connection.ts";
import type { ConnectionTable } from "./connection/connection_table.ts";
import type { History } from "./durable/history/history.ts";
import type { StartedDurable } from "./durable/start.ts";
import type { StartedGrowing } from "./growing/start.ts";
import type { Hub } from "./fanout/hub.ts";
import type { ConnectionCounters } from "./connection/limits.ts";
import type { StartedLedger } from "./ledger/start.ts";
import type { MemoryWatch } from "./memory/memory_watch.ts";
import type { OwnLife } from "../shared/lives/own_life.ts";
import type { StartedMirror } from "./mirror/start.ts";
import type { StartedJournal } from "./journal/start.ts";
import type { Operations } from "./connection/operations.ts";
import type { StartedOverseer } from "./policy/start.ts";
import type { PresenceService } from "./presence/service.ts";
import type { RateTable } from "./rates/rates.ts";
import type { StartedQuota, TenantQuota } from "./quota/quota.ts";
import type { StartedRevocations } from "./admin/operations/revocations_start.ts";
import type { StartedRoomClasses } from "./rooms/start.ts";
import type { StartedSchemas } from "./schema/start.ts";
import type { SignatureDemands } from "./message/signature.ts";
import type { Settings } from "./settings/settings.ts";
import type { Signals } from "./signals/signals.ts";
import type { ClientSocket, SocketServer } from "./socket/client_socket.ts";
import type { ShieldStats } from "./stats/stats.ts";
import type { TenantTable } from "./stats/tenant_stats.ts";
import type { StartedUsage } from "./usage/start.ts";

/** What others are built on, started before them. */
export interface Foundation {
  readonly node_id: string;
  /** What each tenant has done. */
  readonly tenants: TenantTable;
  readonly settings: Settings;
  readonly mirroring: StartedMirror;
  readonly schemas: StartedSchemas;
  readonly rooms: StartedRoomClasses;
  readonly revocations: StartedRevocations;
  readonly signatures: SignatureDemands;
  readonly journal: StartedJournal;
  /** Says of this Shield that it lives. */
  readonly life: OwnLife;
  /** Absent without `[quota]`. */
  readonly quota: StartedQuota | undefined;
  /** Budgets and quotas, as messages ask them; absent: there are none. */
  readonly gate: TenantQuota | undefined;
  /** Absent without `[ledger]`. */
  readonly noted: StartedLedger | undefined;
  /** Absent without `[usage]`. */
  readonly usage: StartedUsage | undefined;
}

/** Everything that one Shield consists of, wired together. */
export interface Parts extends Foundation {
  readonly authenticator: Authenticator;
  readonly stats: ShieldStats;
  readonly counters: ConnectionCounters;
  readonly rates: RateTable;
  readonly hub: Hub;
  readonly durable: StartedDurable;
  readonly history: History;
  readonly growing: StartedGrowing;
  readonly policies: StartedOverseer;
  /** Tells hooks of tenants. */
  readonly events: TenantEvents;
  readonly bans: Bans;
  /** The bucket `ARQON_BANS`. */
  readonly bans_bucket: KeyValue;
  /** What the Shield has beside its kernel. */
  readonly running: RunningCapabilities;
  /** What readiness asks. */
  readonly checks: () => Record<string, HealthCheck>;
  readonly signals: Signals;
  readonly presence: PresenceService;
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
  /** Set once everything runs. */
  memory: MemoryWatch | undefined;
  /** Whether the client port answers; absent before it is open. */
  listener?: () => HealthCheck;
}
