/**
 * The configured ports for operators, ops and admin: plain, or with TLS whose certificate is renewed. The caller
 * answers requests; `client_listener.ts` has the port for clients.
 */
import type { Config } from "../config/schema.ts";
import { unreadable } from "../config/load.ts";
import { listen, listenClient, type Listener, type ListenOptions } from "./listen.ts";
import type { Logger } from "../logs/log.ts";
import type { Env } from "../env.ts";
import { openOpsToken, type OpsToken } from "./ops_token.ts";
import type { ReadFile } from "../process/secret_file.ts";
import {
  type ClientCertificates,
  followTls,
  requireClientCertificates,
  requireUsableAs,
} from "./tls_reload.ts";
import type { TlsPair } from "../http1/door.ts";

/** The address of one of these ports, and what it needs from its process. */
export interface OperatorListenOptions
  extends
    Pick<ListenOptions, "handler" | "limits" | "reserve" | "onGone">,
    Pick<Env, "registry" | "log" | "now"> {
  readonly name: "ops" | "admin";
  /** The part in the names of its metrics; absent: "shield". */
  readonly part?: "shield" | "brain";
  readonly config: Pick<Config, "ops" | "admin">;
  readonly read: ReadFile;
}

/**
 * The certificate and key of a port as PEM texts; undefined for plain HTTP. Throws a ConfigError
 * that names the key.
 */
export function operatorTls(
  name: "ops" | "admin",
  config: Pick<Config, "ops" | "admin">,
  read: ReadFile,
): TlsPair | undefined {
  const { tls_cert, tls_key } = config[name];
  if (tls_cert === undefined || tls_key === undefined) return undefined;
  const text = (key: string, path: string) => {
    try {
      return read(path);
    } catch (cause) {
      throw unreadable(`${name}.${key}`, path, cause);
    }
  };
  return { cert: text("tls_cert", tls_cert), key: text("tls_key", tls_key) };
}

/**
 * Reads what both ports need before anything is opened, so that a missing file stops the process before it joins a
 * cluster, and checks the client certificates. Returns the token of ops, if configured. Throws a ConfigError that names
 * the key and the file, or a CertificateError.
 */
export function readOperatorFiles(
  config: Pick<Config, "ops" | "admin"> & ClientCertificates,
  read: ReadFile,
  log: Logger,
  now_ms: number,
): OpsToken | undefined {
  requireClientCertificates(config, read, now_ms);
  for (const name of ["ops", "admin"] as const) {
    requireUsableAs(name, operatorTls(name, config, read), now_ms);
  }
  return openOpsToken(config.ops, read, log);
}

/** Opens a port. Rejects with ListenError, or as `readOperatorFiles` throws for the certificate. */
export async function openOperatorListener(options: OperatorListenOptions): Promise<Listener> {
  const { name, config, read, registry, log, now } = options;
  const { host, port } = config[name];
  const { handler, limits, reserve, onGone } = options;
  const where = {
    name,
    host,
    port,
    handler,
    log,
    reserve,
    ...(limits === undefined ? {} : { limits }),
    ...(onGone === undefined ? {} : { onGone }),
  };
  const served = operatorTls(name, config, read);
  if (served === undefined) return listen(where);
  requireUsableAs(name, served, now());
  const listener = await listenClient({ ...where, tls: served, websocket: "own" });
  const following = followTls({
    listener: name,
    part: options.part ?? "shield",
    served,
    read: () => operatorTls(name, config, read),
    renew: (pair) => listener.renew(pair),
    registry,
    log,
    now,
  });
  return {
    ...listener,
    get stats() {
      return listener.stats;
    },
    close(grace_ms) {
      following[Symbol.dispose]();
      return listener.close(grace_ms);
    },
  };
}
