/** The refusal of a configuration. Not for product code. */
import assert from "node:assert/strict";
import { type ConfigDefaults, ConfigError, parseConfig } from "../load.ts";

/** The error of a file with this text, which is refused. */
export function refusalOf(text: string, defaults: ConfigDefaults = {}): ConfigError {
  try {
    parseConfig(text, { file: "config.toml", defaults });
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error;
  }
  assert.fail(`accepted: ${text}`);
}
