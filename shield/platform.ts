/** Log lines of a start about platform parts: a disabled part is skipped with a warning. */
import type { Config } from "../shared/config/schema.ts";
import type { Logger } from "../shared/logs/log.ts";

const PLATFORM_PARTS = ["overseer", "mirroring", "registry"] as const;

/** The tables that can switch off their part; a part that is off has no paths in the admin API. */
const SWITCHED = [...PLATFORM_PARTS.map((part) => `platform.${part}`), "usage"] as const;

/** The parts that the configuration switches off. */
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

/** Logs the parts of the configuration that need another process than a lone Shield. */
export function announceOthers({ bridge }: Pick<Config, "bridge">, log: Logger): void {
  if (bridge.postgres === undefined) return;
  const hint = "run arq bridge postgres beside the Shields, or arq serve";
  log.warn("[bridge.postgres] is for arq serve; this process follows no database", { hint });
}
