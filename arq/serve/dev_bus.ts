/**
 * The development bus: Shield and Brain with a development key, announced in a state folder where commands
 * find it. `arq dev` runs it in the foreground, `arq dev up` in the background, and `deno task dev` runs it
 * too. Never for production.
 */
import type { JWK } from "@panva/jose";
import { DEV_AUDIENCE, DEV_ISSUER, DEV_KEY_FILE, DEV_TENANT, type DevBus } from "../bus/dev_bus.ts";
import { type ConfigDefaults, parseConfig } from "../../shared/config/load.ts";
import type { Config } from "../../shared/config/schema.ts";
import type { ServeProcess } from "./servers.ts";
import { serve } from "./serve.ts";
import { createWhole, replaceWhole } from "../terminal/whole_file.ts";
import { newKeyPair, signToken } from "../bus/token.ts";
import { textIfThere } from "../terminal/disk_files.ts";

/** The key pair, and the files from which `arq` and the Shield read it. */
interface DevKey {
  /** The private JWK, for `arq auth gen`; mode 0600. */
  readonly key_file: string;
  /** The public JWK set, for the Shield. */
  readonly jwks_file: string;
  readonly jwk: JWK;
}

/** Reads the key in the folder `dir`, or creates it; two processes that start at once get the same. */
export async function devKey(dir: string): Promise<DevKey> {
  await Deno.mkdir(dir, { recursive: true });
  const key_file = `${dir}/${DEV_KEY_FILE}`;
  const jwks_file = `${dir}/dev-jwks.json`;
  let text = await textIfThere(key_file);
  if (text === undefined) {
    // The first process wins.
    await createWhole(key_file, await newKey(), 0o600).catch((error) => {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    });
    text = await Deno.readTextFile(key_file);
  }
  const jwk: JWK = JSON.parse(text);
  const { kty, n, e, kid, alg } = jwk;
  await replaceWhole(jwks_file, JSON.stringify({ keys: [{ kty, n, e, kid, alg }] }));
  return { key_file, jwks_file, jwk };
}

async function newKey(): Promise<string> {
  const { private_jwk } = await newKeyPair("RS256");
  return JSON.stringify({ ...private_jwk, kid: `dev-${crypto.randomUUID().slice(0, 8)}` });
}

/** A token of role `user` for the development bus, valid for 24 hours. */
export async function devToken(jwk: JWK): Promise<string> {
  const own = { issuer: DEV_ISSUER, audience: DEV_AUDIENCE, tenant: DEV_TENANT };
  const claims = { ...own, user: "dev", role: "user", ttl_seconds: 86_400 } as const;
  return await signToken(jwk, claims, Date.now());
}

/** The options of a development bus. Paths are absolute. */
export interface DevBusOptions {
  /** Folder of the key, and of the files by which `arq` finds this bus. */
  readonly state_dir: string;
  readonly port?: number;
  readonly ops_port?: number;
  readonly admin_port?: number;
  readonly data_dir?: string;
  readonly config_file?: string;
  readonly nats_url?: string;
}

/** A running development bus, as in its line on stdout and its file in the state folder. */
export interface DevBusReady extends DevBus {
  readonly pid: number;
  /** Node id of its Shield, for the admin API. */
  readonly node_id: string;
}

/** The functions that a development bus needs from its process. */
export interface DevProcess extends ServeProcess {
  readonly pid: number;
  /** Reads and checks a configuration; ends the process when it cannot be used. */
  readonly loadConfig: (file: string, defaults: ConfigDefaults) => Config;
  /** As `loadConfig`, while a bus runs: rejects with an Error that describes the problem. */
  readonly readConfig: (file: string, defaults: ConfigDefaults) => Promise<Config>;
}

/** The configuration of a development bus without a file. */
export const DEV_DEFAULTS = `
[server]
host = "127.0.0.1"
allowed_origins = ["http://localhost*", "http://127.0.0.1*"]
drain_ms = 0
[ops]
host = "127.0.0.1"
[brain]
tap = 0.01
[journal]
journal = "all"
[usage]
enabled = true
[[rooms]]
room = "durable-*"
durable = true
[[rooms]]
room = "orders*"
durable = true
`;

/** Defaults of a file. A person with the development key can be an admin of any tenant anyway. */
const FILE_DEFAULTS = {
  host: "127.0.0.1",
  operator_tenants: ["*"],
} as const satisfies ConfigDefaults;

/** The configuration of the bus: that of its file or the dev defaults, with options and development issuer. */
function devConfig(options: DevBusOptions, given: Config | undefined, jwks_file: string): Config {
  const { nats_url } = options;
  const { operator_tenants } = FILE_DEFAULTS;
  const config = given ??
    parseConfig(DEV_DEFAULTS, { file: "dev defaults", defaults: { operator_tenants } });
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

/** Runs the bus until it is asked to stop; `onReady` gets its addresses. Rejects as `serve` does. */
export async function serveDev(
  options: DevBusOptions,
  process: DevProcess,
  onReady: (ready: DevBusReady) => Promise<void> | void,
): Promise<void> {
  const { state_dir } = options;
  const { pid } = process;
  const key = await devKey(state_dir);
  const { config_file } = options;
  const given = config_file && process.loadConfig(config_file, FILE_DEFAULTS);
  const config = devConfig(options, given || undefined, key.jwks_file);
  const read = async () => {
    const again = config_file && await process.readConfig(config_file, FILE_DEFAULTS);
    return devConfig(options, again || undefined, key.jwks_file);
  };
  const announcement = `${state_dir}/dev/${pid}.json`;
  // A reader of a leftover file checks whether its process is alive.
  const withdraw = () => Deno.remove(announcement).catch(() => {});
  await serve({
    given: { file: options.config_file ?? null, config, read },
    process: {
      ...process,
      // A draining bus must not be found.
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
      await replaceWhole(announcement, JSON.stringify(ready), 0o600);
      await onReady(ready);
    },
  });
  await withdraw();
}
