/**
 * The development bus: Shield and Brain with a development key, announced in a state folder where
 * commands find them. The foreground of `arq dev`, the background of `arq dev up` and `deno task dev`
 * are this; never for production.
 */
import type { DevBus } from "../bus/dev_bus.ts";
import { DEV_AUDIENCE, DEV_ISSUER, DEV_TENANT } from "../bus/dev_bus.ts";
import { parseConfig } from "../../shared/config/load.ts";
import type { ConfigDefaults } from "../../shared/config/load.ts";
import type { Config } from "../../shared/config/schema.ts";
import { devKey, devToken } from "./dev_key.ts";
import type { ServeProcess } from "./process.ts";
import { serve } from "./serve.ts";

/** How a development bus is to be. Paths are absolute. */
export interface DevBusOptions {
  /** Folder of the key and of the files by which `arq` finds this bus. */
  readonly state_dir: string;
  readonly port?: number;
  readonly ops_port?: number;
  readonly admin_port?: number;
  readonly data_dir?: string;
  readonly config_file?: string;
  readonly nats_url?: string;
}

/** The line on stdout, and the content of the file that `arq` looks for. */
export interface DevBusReady extends DevBus {
  readonly pid: number;
  /** Of its Shield, for the admin API. */
  readonly node_id: string;
}

/** What a development bus takes from its process. */
export interface DevProcess extends Omit<ServeProcess, "tls"> {
  readonly pid: number;
  readonly tlsOf: (config: Config) => ReturnType<ServeProcess["tls"]>;
  /** The checked configuration of a file; ends the process when it cannot be used. */
  readonly loadConfig: (file: string, defaults: ConfigDefaults) => Config;
}

const DEV_DEFAULTS = `
[server]
host = "127.0.0.1"
allowed_origins = ["http://localhost*", "http://127.0.0.1*"]
drain_ms = 0
[ops]
host = "127.0.0.1"
[brain]
tap = 0.01
[[rooms]]
room = "durable-*"
durable = true
[[rooms]]
room = "orders*"
durable = true
`;

/** The file's settings (or the dev defaults) with the flags and the development issuer put in. */
function devConfig(options: DevBusOptions, process: DevProcess, jwks_file: string): Config {
  const { config_file, nats_url } = options;
  // Whoever has the development key is any tenant's admin anyway.
  const operator_tenants = ["*"];
  const config = config_file === undefined
    ? parseConfig(DEV_DEFAULTS, { file: "dev defaults", defaults: { operator_tenants } })
    : process.loadConfig(config_file, { host: "127.0.0.1", operator_tenants });
  config.server.port = options.port ?? config.server.port;
  config.ops.port = options.ops_port ?? config.ops.port;
  config.admin.port = options.admin_port ?? config.admin.port;
  if (options.data_dir !== undefined) config.server.data_dir = options.data_dir;
  if (nats_url !== undefined) {
    const urls = parseConfig(`[nats]\nurls = [${JSON.stringify(nats_url)}]`, { file: "--nats" });
    config.nats = { ...urls.nats, ...config.nats, urls: [nats_url] } as Config["nats"];
  }
  config.auth.issuers.push({
    issuer: DEV_ISSUER,
    audience: DEV_AUDIENCE,
    jwks_file,
    algorithms: ["RS256"],
    tenants: ["*"],
    roles: ["user", "service", "admin"],
  });
  return config;
}

/**
 * Serves until the process is asked to stop; `onReady` hears where. Rejects as `serve` does, and when
 * the state folder cannot be written.
 */
export async function serveDev(
  options: DevBusOptions,
  process: DevProcess,
  onReady: (ready: DevBusReady) => Promise<void> | void,
): Promise<void> {
  const { state_dir } = options;
  const { pid } = process;
  const key = await devKey(state_dir);
  const config = devConfig(options, process, key.jwks_file);
  const announcement = `${state_dir}/dev/${pid}.json`;
  const withdraw = () => Deno.remove(announcement).catch(() => {});
  await serve({
    config,
    process: {
      ...process,
      tls: () => process.tlsOf(config),
      // Nobody is to find a bus that drains.
      begin: async (log) => (await process.begin(log), await withdraw()),
    },
    service_name: "arqon-dev",
    async onReady({ node_id, url, ops_url, admin_url }) {
      const ready: DevBusReady = {
        pid,
        node_id,
        url,
        ops_url,
        admin_url,
        token: await devToken(key.jwk),
        tenant: DEV_TENANT,
        issuer: DEV_ISSUER,
        audience: DEV_AUDIENCE,
        key_file: key.key_file,
        started_ms: process.now(),
      };
      await Deno.mkdir(`${state_dir}/dev`, { recursive: true });
      await Deno.writeTextFile(announcement, JSON.stringify(ready), { mode: 0o600 });
      await onReady(ready);
    },
  });
  await withdraw();
}
