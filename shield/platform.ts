/** What a start says about the platform parts: a disabled one is skipped with a warning. */
import type { Config } from "../shared/config/schema.ts";
import type { Logger } from "../shared/logs/log.ts";

const PLATFORM_PARTS = ["overseer", "mirroring", "registry"] as const;

/** The tables whose part a configuration may switch off: then the part has no paths in the admin API. */
const SWITCHED = [...PLATFORM_PARTS.map((part) => `platform.${part}`), "usage"] as const;

/** Those that it does. */
export function switchedOff(config: Pick<Config, "platform" | "usage">): readonly string[] {
  const { platform: { overseer, mirroring, registry }, usage } = config;
  const parts = [overseer, mirroring, registry, usage];
  return SWITCHED.filter((_, at) => parts[at]?.enabled === false);
}

/** Warns of each part that the configuration switches off. */
export function announcePlatform(platform: Config["platform"], log: Logger): void {
  for (const part of PLATFORM_PARTS) {
    if (platform[part].enabled) continue;
    log.child({ part }).warn("disabled by the configuration: skipped");
  }
}

/** Says of a Shield of its own what the configuration asks of another process. */
export function announceOthers({ bridge }: Pick<Config, "bridge">, log: Logger): void {
  if (bridge.postgres === undefined) return;
  const hint = "run arq bridge postgres beside the Shields, or arq serve";
  log.warn("[bridge.postgres] is for arq serve; this process follows no database", { hint });
}
