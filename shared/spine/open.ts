/** Opens the engine that the configuration selects. Callers use only `Spine`. */
import type { Config } from "../config/schema.ts";
import type { Env } from "../env.ts";
import { LOG_LIMITS, type LogLimits } from "./contract/durable_log.ts";
import { type EmbeddedLimits, openEmbedded } from "./embedded/embedded.ts";
import { openNats } from "./nats/nats.ts";
import type { Spine } from "./contract/spine.ts";

/** What an engine needs from its process. */
export interface OpenSpineOptions extends Pick<Env, "log" | "now"> {
  /** Reads the credentials and certificate files that `[nats]` names. */
  readonly files?: { read(path: string): string };
  /** True until the process is ready: meanwhile NATS may take longer to answer. Absent: never. */
  readonly isStarting?: (() => boolean) | undefined;
}

function embeddedLimits(limits: Config["limits"]): EmbeddedLimits {
  return {
    subscription_messages: limits.spine_subscription_messages,
    subscription_bytes: limits.spine_subscription_bytes,
    pending_bytes: limits.spine_pending_bytes,
    backup_waiting_bytes: limits.backup_waiting_bytes,
  };
}

/** The configuration of an engine: `limits` and `durable` have defaults for callers without a configuration. */
export type SpineConfig =
  & Pick<Config, "nats" | "server">
  & Partial<Pick<Config, "limits" | "durable">>;

function logLimits({ limits, durable }: SpineConfig): LogLimits {
  return {
    log_bytes: durable?.log_bytes ?? LOG_LIMITS.log_bytes,
    tenant_bytes: durable?.tenant_bytes ?? LOG_LIMITS.tenant_bytes,
    shared_streams: durable?.shared_streams ?? LOG_LIMITS.shared_streams,
    shared_bytes: durable?.shared_bytes ?? LOG_LIMITS.shared_bytes,
    shared_tenant_bytes: durable?.shared_tenant_bytes ?? LOG_LIMITS.shared_tenant_bytes,
    synchronous: durable?.synchronous ?? LOG_LIMITS.synchronous,
    pending_messages: limits?.log_pending_messages ?? LOG_LIMITS.pending_messages,
    pending_bytes: limits?.log_pending_bytes ?? LOG_LIMITS.pending_bytes,
  };
}

/**
 * The embedded engine without a `[nats]` table, else NATS. Rejects with `spine-unavailable` when the server cannot be
 * reached or is too old, or when `data_dir` is in use or has unreadable data.
 */
export async function openSpine(config: SpineConfig, options: OpenSpineOptions): Promise<Spine> {
  const { log, now, files, isStarting } = options;
  const log_limits = logLimits(config);
  if (config.nats !== undefined) {
    return await openNats({
      config: config.nats,
      log,
      now,
      log_limits,
      isStarting,
      ...(files ? { files } : {}),
    });
  }
  const { data_dir } = config.server;
  return openEmbedded({
    log,
    now,
    log_limits,
    ...(data_dir === undefined ? {} : { data_dir }),
    ...(config.limits === undefined ? {} : { limits: embeddedLimits(config.limits) }),
  });
}
