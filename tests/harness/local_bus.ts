/**
 * Starts the development bus in the test's process: Shield and Brain on real sockets, free ports and the embedded
 * Spine, ended with the test's scope. It starts in milliseconds where a process takes a second. Tests of signals,
 * crashes, limits of a process and NATS start processes by `bus.ts` and `cluster.ts`.
 */
import { DEV_DEFAULTS, type DevBusReady, serveDev } from "../../arq/serve/dev_bus.ts";
import type { ServeProcess } from "../../arq/serve/servers.ts";
import { busProcess, stoppedBy } from "../../arq/serve/serve_main.ts";
import { withConstants } from "../../shared/config/keys/constants.ts";
import type { Config } from "../../shared/config/schema.ts";
import { commentedConstants } from "../../shared/config/testing/commented_constants.ts";
import { clientConfig } from "../../shared/process/process.ts";
import type { ServerProcess } from "./cluster.ts";
import { placeOf, type TestBus } from "./test_bus.ts";

export type { TestBus } from "./test_bus.ts";

/** The maximum of the configuration. */
const MEMORY_BYTES = 1_099_511_627_776;

let folder: string | undefined;

/** The folder of this isolate's development key and of its buses' announcements; removed at the isolate's end. */
function stateFolder(): string {
  if (folder === undefined) {
    const made = folder = Deno.makeTempDirSync({ prefix: "arqon-local-bus-" });
    addEventListener("unload", () => Deno.removeSync(made, { recursive: true }));
  }
  return folder;
}

/** Sets the value at a path; a missing table stays absent. */
function setAt(table: object, [name = "", ...rest]: readonly string[], value: unknown): void {
  if (Array.isArray(table)) return table.forEach((one) => setAt(one, [name, ...rest], value));
  if (rest.length === 0) return void Object.assign(table, { [name]: value });
  const inner: unknown = Object.entries(table).find(([member]) => member === name)?.[1];
  if (typeof inner === "object" && inner !== null) setAt(inner, rest, value);
}

/** Options of a bus besides its configuration. */
export interface LocalBusOptions {
  /** Its wall clock, Unix ms; absent: that of the machine. */
  readonly now?: () => number;
  /** Absent: it keeps everything in memory. */
  readonly data_dir?: string;
  /** Ports for clients, operators and admins; absent: free ones. */
  readonly ports?: readonly [number, number, number];
  /** The capabilities of both servers; absent: all. */
  readonly capabilities?: ServeProcess["capabilities"];
  /** Constants with other values that text cannot express. */
  readonly constants?: { readonly [Name in keyof Config]?: Partial<Config[Name]> };
}

/**
 * A bus with this text as its configuration, which may set constants in comments (`#constant durable.verify_ms = 500`);
 * a function returns it for each reload; without one, with the defaults of `deno task dev`.
 */
export async function startLocalBus(
  config: string | (() => string) = DEV_DEFAULTS,
  options: LocalBusOptions = {},
): Promise<TestBus> {
  const { now = Date.now, data_dir, capabilities, constants = {} } = options;
  const { ports: [port, ops_port, admin_port] = [0, 0, 0] } = options;
  const state_dir = stateFolder();
  const stopping = new AbortController();
  let log = "";
  const process = {
    ...busProcess({
      program: "local bus",
      stopping: stoppedBy(stopping.signal),
      writeLog: (line) => void (log = (log + line).slice(-100_000)),
    }),
    now,
    capabilities,
    // A test's own process is not ended, and the test runner handles its unhandled errors.
    exit(_code: number, sentence: string): never {
      throw new Error(`the bus ended itself: ${sentence}\n${log}`);
    },
    stopWithin() {},
    watch: undefined,
    begin: stoppedBy(stopping.signal),
  };
  process.loadConfig = (file, defaults) => {
    const text = typeof config === "string" ? config : config();
    const checked = clientConfig(new TextEncoder().encode(text), file, defaults);
    const loaded = withConstants(checked, constants) as Config;
    for (const [name, value] of commentedConstants(text)) setAt(loaded, name.split("."), value);
    // The bus shares the memory of this process.
    loaded.limits.memory_bytes = MEMORY_BYTES;
    return loaded;
  };
  process.readConfig = async (...given) => await process.loadConfig(...given);
  const ports = { port, ops_port, admin_port };
  const folder = data_dir === undefined ? {} : { data_dir };
  const places = { state_dir, config_file: "config", ...ports, ...folder };
  const ready = Promise.withResolvers<DevBusReady>();
  const ended = serveDev(places, process, ready.resolve);
  ended.catch(ready.reject);
  const place = await ready.promise;
  const key = JSON.parse(await Deno.readTextFile(place.key_file));
  const stop: TestBus["stop"] = async (signal) => {
    if (signal === "SIGKILL") throw new Error("a bus in this process cannot be killed");
    stopping.abort();
    await ended;
    return { success: true, code: 0, signal: null };
  };
  return {
    ...placeOf(place, key),
    log: () => log,
    stop,
    [Symbol.asyncDispose]: async () => void await stop(),
  };
}

/** A Shield like that of `cluster.ts`, but in this process: it cannot be killed. */
export type LocalShield = Pick<ServerProcess, "ready" | "socket_url" | "log"> & AsyncDisposable;

/** A Shield, with a Brain, on the NATS of its configuration; `server_lines` as for `startServer`. */
export async function startLocalShield(
  config: string,
  server_lines = "",
  options: LocalBusOptions = {},
): Promise<LocalShield> {
  const bus = await startLocalBus(`[server]\n${server_lines}\n${config}`, options);
  const { http_url: url, ops_url, admin_url } = bus;
  return {
    ready: { url, ops_url, admin_url },
    socket_url: bus.url,
    log: bus.log,
    [Symbol.asyncDispose]: () => bus[Symbol.asyncDispose](),
  };
}
