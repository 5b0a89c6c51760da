/**
 * The reloadable configuration of a process, and its logs, which follow it. SIGHUP triggers a reload here, the admin
 * API elsewhere.
 */
import { ConfigReload } from "../config/live/reload.ts";
import type { Config } from "../config/schema.ts";
import type { Env } from "../env.ts";
import type { Logging } from "../logs/logging.ts";

/** A configuration that was read. */
export interface GivenConfig extends Pick<Env, "config"> {
  /** Its file; null: it came from elsewhere. */
  readonly file: string | null;
  /** Reads it again; rejects with an Error that says what is wrong. */
  readonly read: () => Promise<Config>;
}

interface LiveProcess extends Pick<Env, "log" | "now"> {
  /** Its name when the configuration has none. */
  readonly node_id: string;
  readonly logging: Pick<Logging, "renew">;
}

/** Makes the configuration of the process; its logs follow it from now on. */
export function liveConfig(
  { file, config, read }: GivenConfig,
  process: LiveProcess,
): ConfigReload {
  const { node_id, logging, log, now } = process;
  const named = (one: Config) => ({ ...one, server: { ...one.server, node_id } });
  const started = named(config);
  const live = new ConfigReload({ started, file, read: async () => named(await read()), log, now });
  live.follow(["log.level"], () => logging.renew(live.config.log));
  return live;
}

/** Calls `reload` on each SIGHUP, which then no longer ends the process; Windows has no such signal. */
export function onHangup(reload: (by: string) => unknown): void {
  if (Deno.build.os === "windows") return;
  Deno.addSignalListener("SIGHUP", () => void reload("SIGHUP"));
}
