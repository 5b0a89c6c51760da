/**
 * Where a configured bus stores its state: in a folder of this machine, or in NATS. Opens the connection to that NATS,
 * for `arq backup` and `arq restore`.
 */
import type { NatsConnection } from "@nats-io/transport-deno";
import { configText, parseConfig } from "../../shared/config/load.ts";
import { natsFiles } from "../../shared/config/named_files.ts";
import type { Config } from "../../shared/config/schema.ts";
import { StreamApi } from "../../shared/backup/stream_api.ts";
import { connectNats, parseAddresses } from "../../shared/spine/nats/connection/nats_connect.ts";
import { failed } from "../terminal/exit.ts";
import { readInput } from "../terminal/input.ts";
import { type Io, resolvePath } from "../terminal/io.ts";

/** A configuration, and where it keeps its state. */
export interface Place {
  /** Path of the configuration as the command line names it. */
  readonly config_file: string;
  readonly config: Config;
  readonly engine: "embedded" | "nats";
  /** The place in words: `data_dir /var/lib/arqon`, or the addresses of NATS. */
  readonly title: string;
}

/** An open connection to NATS. */
export interface OpenNats extends AsyncDisposable {
  readonly connection: NatsConnection;
  readonly api: StreamApi;
  readonly is_clustered: boolean;
}

const DEFAULT_FILE = "config.toml";
const RECONNECT_MS = 1_000;

/**
 * The place of the configuration that `--config` names, or of `config.toml` in the working directory. Throws
 * ConfigError.
 */
export async function findPlace(io: Io, config_file?: string): Promise<Place | undefined> {
  const is_here = await io.files.state(resolvePath(io.cwd, DEFAULT_FILE)) !== undefined;
  const file = config_file ?? (is_here ? DEFAULT_FILE : undefined);
  if (file === undefined) return undefined;
  const config = parseConfig(configText(await readInput(io, file), file), { file });
  const { nats, server: { data_dir } } = config;
  if (nats !== undefined) {
    const title = `NATS at ${parseAddresses(nats.urls).servers.join(", ")}`;
    return { config_file: file, config, engine: "nats", title };
  }
  const title = data_dir === undefined ? "memory" : `data_dir ${data_dir}`;
  return { config_file: file, config, engine: "embedded", title };
}

/** The absolute path of an embedded bus's data folder. Throws when the bus stores nothing. */
export function dataDirOf(io: Io, { config_file, config }: Place): string {
  const { data_dir } = config.server;
  if (data_dir !== undefined) return resolvePath(io.cwd, data_dir);
  throw failed(
    `${config_file} has neither [nats] nor [server] data_dir: such a bus stores nothing`,
    "set [server] data_dir, for example to /var/lib/arqon/data",
  );
}

/** Connects to NATS as the servers of that configuration do. Rejects with `spine-unavailable`. */
export async function openNats(io: Io, { config }: Place): Promise<OpenNats> {
  const { nats } = config;
  if (nats === undefined) throw new RangeError("there is no [nats]");
  const texts = new Map<string, string>();
  for (const { path } of natsFiles(nats)) {
    texts.set(path, new TextDecoder().decode(await readInput(io, path)));
  }
  const read = (path: string): string => {
    const text = texts.get(path);
    if (text === undefined) throw new TypeError(`cannot read ${path}`);
    return text;
  };
  const connection = await connectNats({
    config: nats,
    files: { read },
    reconnectDelay: () => RECONNECT_MS,
  });
  return {
    connection,
    api: new StreamApi(connection),
    is_clustered: connection.info?.cluster !== undefined,
    [Symbol.asyncDispose]: () => connection.close(),
  };
}
