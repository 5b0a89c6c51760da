/**
 * What one Shield consists of, once it is wired together in `server.ts`. Types only.
 */
import type { Authenticator } from "./authenticate.ts";
import type { Bans } from "./bans.ts";
import type { ConnectionTable } from "./connection_table.ts";
import type { History } from "./durable/history.ts";
import type { StartedDurable } from "./durable/start.ts";
import type { Hub } from "./hub.ts";
import type { ConnectionCounters } from "./limits.ts";
import type { StartedMirror } from "./mirror/start.ts";
import type { OperationContext } from "./operations.ts";
import type { StartedOverseer } from "./policy/start.ts";
import type { PresenceService } from "./presence/service.ts";
import type { StartedRoomClasses } from "./rooms/start.ts";
import type { StartedSchemas } from "./schema/start.ts";
import type { Settings } from "./settings.ts";
import type { Signals } from "./signals.ts";
import type { ShieldStats } from "./stats.ts";

/** What others are built on, started before them. */
export interface Foundation {
  readonly node_id: string;
  readonly settings: Settings;
  readonly mirroring: StartedMirror;
  readonly schemas: StartedSchemas;
  readonly rooms: StartedRoomClasses;
}

/** Everything that one Shield consists of, wired together. */
export interface Parts extends Foundation {
  readonly authenticator: Authenticator;
  readonly stats: ShieldStats;
  readonly counters: ConnectionCounters;
  readonly hub: Hub;
  readonly durable: StartedDurable;
  readonly history: History;
  readonly policies: StartedOverseer;
  readonly bans: Bans;
  readonly signals: Signals;
  readonly presence: PresenceService;
  readonly operations: OperationContext;
  readonly connections: ConnectionTable;
  readonly sockets: Set<WebSocket>;
  readonly started_ms: number;
  /** 0 until the drain begins. */
  draining_ms: number;
}
