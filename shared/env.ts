/**
 * What a part may need of its process. Each part names what it takes: `Pick<Env, "log" | "now">`. What a process
 * brings together is its own business.
 */
import type { Config } from "./config/schema.ts";
import type { Random } from "./ids.ts";
import type { Logger } from "./logs/log.ts";
import type { Registry } from "./metrics/metrics.ts";
import type { Spine } from "./spine/contract/spine.ts";

/** The surroundings of a part. */
export interface Env {
  readonly config: Config;
  readonly spine: Spine;
  /** Where its metrics are registered. */
  readonly registry: Registry;
  readonly log: Logger;
  /** The id of the process on the bus. */
  readonly node_id: string;
  /** Unix ms. */
  readonly now: () => number;
  /** Ms of a clock that only grows, and that nobody sets. */
  readonly monotonic_ms: () => number;
  readonly random: Random;
}
