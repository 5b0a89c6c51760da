/** What a Brain's replicas of Shields (`replicas.ts`) are made from. Types only. */
import type { Config } from "../../shared/config/schema.ts";
import type { Changes } from "../../shared/presence/state.ts";
import type { Writer } from "../../shared/presence/types.ts";
import type { LeaveCause, LeaveReasons } from "../cluster_view.ts";
import type { BrainPresenceMetrics } from "./metrics.ts";
import type { Refuse } from "./refusals.ts";

/** What the replicas need. */
export interface ReplicasOptions {
  readonly config: Config["presence"];
  readonly member_meta_bytes: number;
  /** When this Brain started, Unix ms: older changes say nothing of how fast it converges. */
  readonly boot: number;
  readonly metrics: BrainPresenceMetrics;
  readonly refuse: Refuse;
  /** Called when members came or went, within the call that learnt of it. */
  readonly onChanges: (changes: Changes, cause: LeaveCause, reasons?: LeaveReasons) => void;
  /** Called when there is more of this writer than is here. */
  readonly onBehind: (writer: Writer) => void;
  /** Called when this life of a writer is down or forgotten: nothing of it is needed any longer. */
  readonly onGone: (writer: Writer) => void;
}

/** How far a writer is said to be, and from when on that can be had. */
export interface Progress {
  readonly incarnation: number;
  /** The highest clock of the writer that was heard of. */
  wanted: number;
  /** Unix ms; before that the writer's changes are not asked for. */
  not_before_ms: number;
}
