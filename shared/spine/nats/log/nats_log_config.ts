/** Writes and reads the JetStream configuration of a log's stream. Pure. */
import { LOG_DEDUPLICATION_MS, type Retention } from "../../contract/durable_log.ts";
import type { StreamConfig } from "./nats_log_api.ts";
import type { LogPlace } from "./nats_log_place.ts";

/**
 * Retention beyond twice the requested age: clocks differ, and a late subscriber can still learn why it missed
 * messages.
 */
const AGE_SPARE_S = 120;
const NANOS = 1e9;
/** Stream metadata: the offset up to which trims and changed limits may have removed messages of any room. */
const REMOVED = "arqon-removed";
/** Its value during such a removal: any message may be removed. */
const REMOVING = String(Number.MAX_SAFE_INTEGER);

/** Everything that defines a stream. */
export interface StreamWish {
  readonly place: LogPlace;
  readonly retention: Retention;
  /** Replicas if the retention has none. */
  readonly replicas_default: number;
}

/** True for a stream that this engine created at that location. */
export function isOurs(
  { name, subjects = [] }: StreamConfig,
  { prefix, pattern }: LogPlace,
): boolean {
  return name.startsWith(prefix) && subjects.length === 1 && subjects[0] === pattern;
}

const republish = ({ pattern, republish_to }: LogPlace) => ({ src: pattern, dest: republish_to });

/** Limits in JetStream's terms; there -1 and 0 are "no limit". */
function limits({ retention, replicas_default, place }: StreamWish) {
  return {
    // One more than requested: a client that missed exactly `history_size` messages still finds its position.
    max_msgs_per_subject: retention.history_size + 1,
    max_age: (2 * retention.history_ttl_seconds + AGE_SPARE_S) * NANOS,
    max_bytes: place.max_bytes,
    num_replicas: retention.replicas ?? replicas_default,
  };
}

/** The configuration of a new stream. */
export function newConfig(name: string, wish: StreamWish): StreamConfig {
  const wanted = {
    name,
    subjects: [wish.place.pattern],
    retention: "limits",
    storage: "file",
    discard: "new",
    allow_direct: true,
    duplicate_window: LOG_DEDUPLICATION_MS * 1e6,
    republish: republish(wish.place),
    ...limits(wish),
  };
  return wanted;
}

const larger = (left: number, right: number) => left <= 0 || right <= 0 ? 0 : Math.max(left, right);
const unlimited = (value: number) => value <= 0 ? -1 : value;

/**
 * `config` raised to the wish, or exactly the wish with `shrink`; undefined if nothing changes. The size in bytes is
 * always exact: a smaller one removes nothing, it only refuses new messages.
 */
export function changedConfig(
  config: StreamConfig,
  wish: StreamWish,
  shrink: boolean,
): StreamConfig | undefined {
  const wanted = limits(wish);
  const sizes = shrink ? wanted : {
    max_msgs_per_subject: unlimited(
      larger(config.max_msgs_per_subject, wanted.max_msgs_per_subject),
    ),
    max_age: larger(config.max_age, wanted.max_age),
    max_bytes: wanted.max_bytes,
    num_replicas: Math.max(config.num_replicas, wanted.num_replicas),
  };
  const { src, dest } = republish(wish.place);
  const next = { ...config, ...sizes };
  const right = config.allow_direct === true && config.discard === "new" &&
    config.republish?.src === src && config.republish.dest === dest;
  const same = next.max_msgs_per_subject === config.max_msgs_per_subject &&
    next.max_age === config.max_age && next.max_bytes === config.max_bytes &&
    next.num_replicas === config.num_replicas;
  if (right && same) return undefined;
  return { ...next, allow_direct: true, discard: "new", republish: { src, dest } };
}

/** The retention of a configuration; without a limit, the largest number. */
export function retentionOf(config: StreamConfig): Retention {
  const { max_msgs_per_subject, max_age, num_replicas } = config;
  return {
    history_size: max_msgs_per_subject <= 0 ? Number.MAX_SAFE_INTEGER : max_msgs_per_subject - 1,
    history_ttl_seconds: max_age <= 0
      ? Number.MAX_SAFE_INTEGER
      : Math.max(0, (max_age / NANOS - AGE_SPARE_S) / 2),
    replicas: num_replicas,
  };
}

/** The larger of each. */
export function largerRetention(left: Retention, right: Retention): Retention {
  const replicas = Math.max(left.replicas ?? 0, right.replicas ?? 0);
  return {
    history_size: Math.max(left.history_size, right.history_size),
    history_ttl_seconds: Math.max(left.history_ttl_seconds, right.history_ttl_seconds),
    replicas: replicas === 0 ? undefined : replicas,
  };
}

/** The offset up to which trims and changed limits may have removed messages of any room. */
export function removedBelow({ metadata }: StreamConfig): number {
  return Number(metadata?.[REMOVED] ?? "0");
}

/** True when a removal is under way, or was cut short. */
export function isRemoving({ metadata }: StreamConfig): boolean {
  return metadata?.[REMOVED] === REMOVING;
}

/** `config` with the mark of a removal: under way, or done up to an offset. */
export function withRemoval(config: StreamConfig, upTo: number | "under way"): StreamConfig {
  const value = upTo === "under way" ? REMOVING : String(upTo);
  return { ...config, metadata: { ...config.metadata, [REMOVED]: value } };
}
