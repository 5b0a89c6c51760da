/** The interface of a Brain's capabilities; `capabilities.ts` lists them. */
import type { AnswerHandlers } from "../shared/cluster/cluster_answerer.ts";
import type { HealthCheck } from "../shared/listeners/ops.ts";
import type { OpenClasses } from "./classes/followed_classes.ts";
import type { ClusterView, RoomAddress } from "./cluster_view.ts";
import type { OpenFigures } from "./inspect.ts";
import type { OwnCommands } from "./desk/request.ts";
import type { Ring } from "./ring/ring.ts";
import type { ConfigChanges } from "../shared/config/live/live_config.ts";
import type { ConfigReloading } from "../shared/config/live/reload.ts";
import type { Config } from "../shared/config/schema.ts";
import type { Logger } from "../shared/logs/log.ts";
import type { Logging } from "../shared/logs/logging.ts";
import type { Env } from "../shared/env.ts";
import type { KvKey } from "../shared/spine/contract/spine.ts";
import type { Tracing } from "../shared/telemetry/tracing.ts";

/** What a Brain needs from its process. */
export interface BrainOptions extends Pick<Env, "spine" | "registry" | "now"> {
  /** Its capabilities, in the order in which they start. */
  readonly capabilities: readonly BrainCapability[];
  readonly config: Pick<
    Config,
    | "server"
    | "brain"
    | "limits"
    | "presence"
    | "rooms"
    | "hooks"
    | "webhooks"
    | "reducers"
    | "watchdog"
    | "usage"
  >;
  /** Reads a file that the configuration names; throws on failure. */
  readonly readTextFile: (path: string) => string;
  /** The same for a binary file. */
  readonly readFile: (path: string) => Uint8Array;
  /** A log of component `brain`. */
  readonly log: Logger;
  /** Monotonic ms; absent: `performance.now`. */
  readonly monotonic_ms?: () => number;
  /** Numbers in [0, 1): spreads the retries of Brains that race for one room. */
  readonly random: () => number;
  /** Absent: no tracing. */
  readonly tracing?: Tracing | undefined;
  /** The Brain's id; absent: made from `[server] node_id`, else random. */
  readonly brain_id?: string;
  /** The release's number, for operators; absent: "". */
  readonly version?: string;
  /** The logs of the process, whose levels an operator may change; absent: levels cannot be changed. */
  readonly logging?: Pick<Logging, "levels" | "setLevel">;
  /** Reloads the configuration; absent: there is no reload. */
  readonly reloading?: ConfigReloading | undefined;
  /** Notifies of a reload by another component; absent: `reloading` does. */
  readonly changes?: ConfigChanges | undefined;
  /** Called when an operator drains this process: does the same as SIGTERM. Absent: operators cannot drain it. */
  readonly onDrain?: (by: string) => void;
  /** Whether the Spine stores writes, for readiness; absent: not checked. */
  readonly storage?: () => HealthCheck;
}

/** A room's document as it is stored. */
export interface StoredRoom {
  /** The revision in the bucket; 0: no document. */
  readonly revision: number;
  readonly document: { readonly created_ms: number; readonly epoch: string };
}

/** The stored rooms, for reports. */
export interface StoredRooms {
  isOwner(at: RoomAddress): boolean;
  /** Rejects with `spine-unavailable`, or `internal` for a damaged document. */
  load(at: RoomAddress): Promise<StoredRoom>;
  /** The keys of a tenant's rooms: tenant and room. */
  keysOf(tenant_id: string): Promise<readonly KvKey[]>;
}

/** Reports created and ended rooms: of a room that is not reported yet, nothing is removed. */
export interface RoomReports {
  /** Checks soon whether there is something to report about the room. */
  look(at: RoomAddress): void;
  /**
   * Publishes pending reports of the room; resolves with whether the creation of the room as `read` is reported, so
   * that it may end.
   */
  settle(at: RoomAddress, read?: StoredRoom): Promise<boolean>;
  /** Reports the ended rooms of this Brain. Never rejects. */
  settleGone(isStored: (at: RoomAddress) => boolean): Promise<void>;
  /** Stops; resolves when nothing is under way. */
  stop(): Promise<void>;
}

/** Starts the reports. Rejects with `spine-unavailable`. */
export type ReportRooms = (rooms: StoredRooms) => Promise<RoomReports>;

/** Services that capabilities provide to later ones: a later capability may replace an earlier one's. */
export interface BrainGiven {
  readonly view: ClusterView;
  /** Receives the creation and end of rooms; undefined: nothing does. */
  readonly reportRooms: ReportRooms | undefined;
}

/** The environment of a capability at its start. */
export interface BrainEnv extends BrainOptions, BrainGiven {
  readonly brain_id: string;
  /** This Brain serves, and owns rooms, at the latest when all capabilities are open. */
  readonly ring: Ring;
  readonly monotonic_ms: () => number;
  readonly openClasses: OpenClasses;
}

/** A running capability. */
export interface BrainPart {
  readonly gives?: Partial<BrainGiven>;
  readonly commands?: OwnCommands;
  readonly figures?: OpenFigures;
  readonly questions?: AnswerHandlers;
  /** Checks for readiness. */
  checks?(): Record<string, HealthCheck>;
  /** Announces that this Brain stops, before anything ends, so that new work goes to the others. Idempotent. */
  leave?(): Promise<void>;
  /** Ends its background work while the last commands are answered: from now on none may wait for an event. */
  stop?(): Promise<void>;
  drain(): Promise<void>;
}

/** One capability. */
export interface BrainCapability {
  readonly name: string;
  /** Its description: one sentence. */
  readonly title: string;
  /** Opens its services, before commands are accepted; undefined: it is disabled. Rejects with `spine-unavailable`. */
  open?(env: BrainEnv): Promise<BrainPart | undefined>;
  /** Starts it, once commands are accepted. Rejects with `spine-unavailable`. */
  start?(env: BrainEnv): Promise<BrainPart>;
}
