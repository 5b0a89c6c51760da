/**
 * The dependencies that a component may need of its process. Each component names its own: `Pick<Env, "log" | "now">`.
 */
import type { Config } from "./config/schema.ts";
import type { Random } from "./ids.ts";
import type { Logger } from "./logs/log.ts";
import type { Registry } from "./metrics/metrics.ts";
import type { Spine } from "./spine/contract/spine.ts";

/** The environment of a component. */
export interface Env {
  readonly config: Config;
  readonly spine: Spine;
  readonly registry: Registry;
  readonly log: Logger;
  /** The id of the process on the bus. */
  readonly node_id: string;
  /** Unix ms. */
  readonly now: () => number;
  /** Monotonic ms. */
  readonly monotonic_ms: () => number;
  readonly random: Random;
}
