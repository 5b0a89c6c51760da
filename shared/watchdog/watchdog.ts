/**
 * The watchdog of a process: a thread that kills it if its event loop hangs for too long, because nothing on that loop
 * could end it then; its supervisor starts it again. For a `main.ts`; a test that shares its process with a bus starts
 * none.
 */
import inspector from "node:inspector";
import type { Config } from "../config/schema.ts";
import type { Env } from "../env.ts";
import { stepMemory, turned } from "./steps.ts";
import type { Watched } from "./watch_thread.ts";

/** The process that is watched. */
export interface WatchdogOptions extends Pick<Env, "log" | "node_id"> {
  readonly config: Pick<Config, "watchdog" | "log">;
  readonly component: string;
  /** The file of the log; absent: stderr. */
  readonly log_file?: string | undefined;
}

/** A running watchdog; its disposal ends it. */
export interface Watchdog extends Disposable {
  /** The process has started: from now on its loop may hang for `stall_ms` only. */
  started(): void;
}

/** At the start the loop may hang this many times longer: modules are compiled, and stores are read. */
const STARTING = 10;
/** Looks within `stall_ms`, and bounds of the time between two of them, in ms. */
const LOOKS = 20;
const LOOK_MIN_MS = 5;
const LOOK_MAX_MS = 1_000;

/** Whether a debugger may pause the process. */
function isInspected(): boolean {
  try {
    return inspector.url() !== undefined;
  } catch {
    // A query is not permitted. Opening it is not permitted either, but the error differs if it is open.
  }
  try {
    inspector.open();
  } catch (error) {
    return (error as { code?: string }).code === "ERR_INSPECTOR_ALREADY_ACTIVATED";
  }
  inspector.close();
  return false;
}

/** Watches the event loop of this process from now on; undefined: a debugger forbids it. */
export function startWatchdog(
  { config, node_id, component, log, log_file }: WatchdogOptions,
): Watchdog | undefined {
  const { stall_ms } = config.watchdog;
  if (isInspected()) {
    log.info("a debugger may pause the process: no watchdog");
    return undefined;
  }
  // The kernel ignores signals of a container's process 1 to itself.
  if (Deno.pid === 1) {
    log.warn("process 1 of a container cannot kill itself when it hangs: use an init");
  }
  const { format } = config.log;
  const look_ms = Math.max(LOOK_MIN_MS, Math.min(LOOK_MAX_MS, stall_ms / LOOKS));
  const watched: Watched = {
    memory: stepMemory(),
    stall_ms: STARTING * stall_ms,
    look_ms,
    format,
    component,
    log_file,
    fields: format === "json" ? { node_id } : {},
  };
  const url = new URL("./watch_thread.ts", import.meta.url);
  const thread = new Worker(url, { type: "module", name: "watchdog" });
  thread.onerror = (event) => {
    event.preventDefault();
    log.error("the watchdog has died", { error: event.message });
  };
  thread.postMessage(watched);
  const turning = setInterval(turned, look_ms);
  Deno.unrefTimer(turning);
  return {
    started: () => thread.postMessage({ ...watched, stall_ms }),
    [Symbol.dispose]() {
      clearInterval(turning);
      thread.terminate();
    },
  };
}
