/**
 * What a start says about the platform parts: a disabled one is skipped with a warning, and a
 * setting that this version cannot enforce is never accepted in silence.
 */
import type { Config } from "../shared/config/schema.ts";
import type { Logger } from "../shared/log.ts";

/** The config asks for a protection that this version does not give. The start must stop. */
export class PlatformError extends Error {
  override readonly name = "PlatformError";
}

/** Throws PlatformError for schema mappings: passing unchecked messages would fail open. */
export function announcePlatform(platform: Config["platform"], log: Logger): void {
  for (const part of ["overseer", "mirroring", "registry"] as const) {
    if (platform[part].enabled) continue;
    log.child({ part }).warn("disabled by the configuration: skipped");
  }
  if (platform.mirroring.enabled && platform.mirroring.rules.length > 0) {
    log.child({ part: "mirroring" }).warn(
      "this version does not mirror yet: the rules are checked but have no effect",
      { rules: platform.mirroring.rules.length },
    );
  }
  if (platform.registry.enabled && platform.registry.mappings.length > 0) {
    throw new PlatformError(
      "platform.registry.mappings: this version cannot check messages against schemas, and would " +
        "let every message pass; remove the mappings or set platform.registry.enabled = false",
    );
  }
}
