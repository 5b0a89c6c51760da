/** The console as a capability of a Shield. */
import type { Capability } from "../../capability.ts";
import type { AdminFile } from "../admin.ts";
import { replayWorker } from "./replay_bundle.ts";
import css from "./console.css" with { type: "text" };
import html from "./index.html" with { type: "text" };
import * as SCRIPTS from "./scripts.ts";

/** The console's worker for replays. */
export const REPLAY_PATH = "/console/replay_worker.js";
const CONSOLE_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; " +
  "connect-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; " +
  "form-action 'none'";
/**
 * The content policy of the worker in which the console tries policy modules: it may run WebAssembly, and may make no
 * requests. The page itself may not run WebAssembly.
 */
const REPLAY_POLICY = "default-src 'none'; script-src 'wasm-unsafe-eval'; " +
  "frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

const SCRIPT_TYPE = "text/javascript; charset=utf-8";

const shown = (body: string, content_type: string): AdminFile => ({
  body,
  content_type,
  policy: CONSOLE_POLICY,
});

/** The files compiled into the program, by path. */
export const ASSETS: ReadonlyMap<string, AdminFile> = new Map([
  ["/console/", shown(html, "text/html; charset=utf-8")],
  ["/console/console.css", shown(css, "text/css; charset=utf-8")],
  ...Object.entries(SCRIPTS).map(([name, body]) =>
    [`/console/${name}.js`, shown(body, SCRIPT_TYPE)] as const
  ),
]);

/**
 * The file at a path of the admin listener, for example `/console/`; undefined if there is none. Rejects if the
 * replay worker cannot be built.
 */
export async function consoleAsset(path: string): Promise<AdminFile | undefined> {
  if (path !== REPLAY_PATH) return ASSETS.get(path);
  return { body: await replayWorker(), content_type: SCRIPT_TYPE, policy: REPLAY_POLICY };
}

/** The bus in a browser, for operators. */
export const CONSOLE: Capability = {
  name: "console",
  title: "the bus in a browser, for operators",
  file: consoleAsset,
};
