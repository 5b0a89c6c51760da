/** Opens the engine that the configuration selects. Callers use only `Spine`. */
import type { Config } from "../config/schema.ts";
import type { Env } from "../env.ts";
import { openEmbedded } from "./embedded/embedded.ts";
import { openNats } from "./nats/nats.ts";
import type { Spine } from "./contract/spine.ts";

/** What an engine needs from its process. */
export interface OpenSpineOptions extends Pick<Env, "log" | "now"> {
  /** Reads the credentials and certificate files that `[nats]` names. */
  readonly files?: { read(path: string): string };
  /** True until the process is ready: meanwhile NATS may take longer to answer. Absent: never. */
  readonly isStarting?: (() => boolean) | undefined;
}

/** The configuration of an engine. */
export type SpineConfig = Pick<Config, "nats" | "server" | "limits" | "durable">;

/**
 * The embedded engine without a `[nats]` table, else NATS. Rejects with `spine-unavailable` when the server cannot be
 * reached or is too old, or when `data_dir` is in use or has unreadable data.
 */
export async function openSpine(config: SpineConfig, options: OpenSpineOptions): Promise<Spine> {
  const { log, now, files, isStarting } = options;
  const { nats, server: { data_dir }, limits, durable } = config;
  const log_limits = {
    ...durable,
    pending_messages: limits.log_pending_messages,
    pending_bytes: limits.log_pending_bytes,
  };
  if (nats !== undefined) {
    const read = files === undefined ? {} : { files };
    return await openNats({ config: nats, log, now, log_limits, isStarting, ...read });
  }
  return openEmbedded({
    log,
    now,
    log_limits,
    ...(data_dir === undefined ? {} : { data_dir }),
    limits: {
      subscription_messages: limits.spine_subscription_messages,
      subscription_bytes: limits.spine_subscription_bytes,
      pending_bytes: limits.spine_pending_bytes,
      backup_waiting_bytes: limits.backup_waiting_bytes,
    },
  });
}
