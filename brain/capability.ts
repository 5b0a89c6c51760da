/** The interface of a Brain's capabilities; `capabilities.ts` lists them. */
import type { HealthCheck } from "../shared/listeners/ops.ts";
import type { OpenClasses } from "./classes/followed_classes.ts";
import { type ClusterView, loneView } from "./cluster_view.ts";
import type { ReducerCalls } from "./rooms/desk/commands.ts";
import { NO_REDUCERS } from "./rooms/desk/no_reducers.ts";
import type { LifeEvents } from "./rooms/lives/announced_rooms.ts";
import type { BrainOptions } from "./server.ts";

/** Services that capabilities provide to rooms: a later capability may replace an earlier one's. */
export interface BrainGiven {
  readonly view: ClusterView;
  readonly calls: ReducerCalls;
  /** Receives the creation and end of rooms; undefined: nothing does. */
  readonly life_events: LifeEvents | undefined;
}

/** The environment of a capability at its start. */
export interface BrainEnv extends BrainOptions, BrainGiven {
  readonly brain_id: string;
  readonly monotonic_ms: () => number;
  readonly openClasses: OpenClasses;
}

/** A running capability. */
export interface BrainPart {
  readonly gives?: Partial<BrainGiven>;
  /** Checks for readiness. */
  checks?(): Record<string, HealthCheck>;
  /** Announces that this Brain stops, before anything ends, so that new work goes to the others. Idempotent. */
  leave?(): Promise<void>;
  drain(): Promise<void>;
}

/** One capability. */
export interface BrainCapability {
  /** Its name: one word. */
  readonly name: string;
  /** Its description: one sentence. */
  readonly title: string;
  /** Opens the services that rooms need; undefined: it is disabled. Rejects with `spine-unavailable`. */
  open?(env: BrainEnv): Promise<BrainPart | undefined>;
  /** Starts it, once rooms accept commands. Rejects with `spine-unavailable`. */
  start?(env: BrainEnv): Promise<BrainPart>;
}

/** The services of a Brain without capabilities, which owns every room and has no members. */
export const givenAlone = (brain_id: string): BrainGiven => ({
  view: loneView(brain_id),
  calls: NO_REDUCERS,
  life_events: undefined,
});
