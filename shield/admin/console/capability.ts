/** The console as a capability of a Shield. */
import type { Capability } from "../../capability.ts";
import { consoleAsset } from "./assets.ts";

/** The bus in a browser, for operators. */
export const CONSOLE: Capability = {
  name: "console",
  title: "the bus in a browser, for operators",
  file: consoleAsset,
};
