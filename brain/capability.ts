/** What a capability brings to a Brain; which of them it has is a list (`capabilities.ts`). */
import type { ClusterView } from "./cluster_view.ts";
import type { BrainOptions } from "./server.ts";

/** What capabilities of a Brain start with: what it was given, and who is there. */
export interface BrainEnv extends BrainOptions {
  readonly monotonic_ms: () => number;
  readonly view: ClusterView;
}

/** One capability. */
export interface BrainCapability {
  /** One word of the field. */
  readonly name: string;
  /** One sentence. */
  readonly title: string;
  /** Starts it, once rooms take commands. Rejects with `spine-unavailable`. */
  start(env: BrainEnv): Promise<{ drain(): Promise<void> }>;
}
