/** What a capability brings to a Brain; which of them it has is a list (`capabilities.ts`). */
import type { HealthCheck } from "../shared/listeners/ops.ts";
import { type ClusterView, loneView } from "./cluster_view.ts";
import type { ReducerCalls } from "./rooms/desk/commands.ts";
import { NO_REDUCERS } from "./rooms/desk/no_reducers.ts";
import type { LifeEvents } from "./rooms/lives/announced_rooms.ts";
import type { BrainOptions } from "./server.ts";

/** What rooms are given by capabilities: one that is below another may take its place. */
export interface BrainGiven {
  readonly view: ClusterView;
  readonly calls: ReducerCalls;
  /** Where it is reported which rooms are made and end; undefined: nowhere. */
  readonly life_events: LifeEvents | undefined;
}

/** What capabilities of a Brain start with: what it was given, and who is there. */
export interface BrainEnv extends BrainOptions, BrainGiven {
  readonly brain_id: string;
  readonly monotonic_ms: () => number;
}

/** A capability at work. */
export interface BrainPart {
  readonly gives?: Partial<BrainGiven>;
  /** What readiness asks. */
  checks?(): Record<string, HealthCheck>;
  /** Tells the others that this Brain goes, before it ends anything: what they learn of now goes to them. Idempotent. */
  leave?(): Promise<void>;
  drain(): Promise<void>;
}

/** One capability. */
export interface BrainCapability {
  /** One word of the field. */
  readonly name: string;
  /** One sentence. */
  readonly title: string;
  /** Opens what rooms need; undefined: it is switched off. Rejects with `spine-unavailable`. */
  open?(env: BrainEnv): Promise<BrainPart | undefined>;
  /** Starts it, once rooms take commands. Rejects with `spine-unavailable`. */
  start?(env: BrainEnv): Promise<BrainPart>;
}

/** What rooms have of a Brain without capabilities, which owns every room and has no members. */
export const givenAlone = (brain_id: string): BrainGiven => ({
  view: loneView(brain_id),
  calls: NO_REDUCERS,
  life_events: undefined,
});
