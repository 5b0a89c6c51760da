/** The files that a configuration names, with their keys. Opens none of them: whoever needs one reads it. */
import type { Config } from "./schema.ts";

interface ConfigFile {
  /** The key, for example "nats.password_file" or "auth.issuers[0].jwks_file". */
  readonly key: string;
  readonly path: string;
  /** True when nobody but its owner may read it. */
  readonly is_private: boolean;
}

/** Keys of `[nats]` that name files, and whether their content is a secret. */
const NATS = {
  password_file: true,
  token_file: true,
  nkey_file: true,
  credentials_file: true,
  tls_ca_file: false,
  tls_cert_file: false,
  tls_key_file: true,
} as const;
const QUOTA = {
  password_file: true,
  tls_ca_file: false,
  tls_cert_file: false,
  tls_key_file: true,
} as const;
const LISTENER = { tls_cert: false, tls_key: true } as const;

type Keys = Readonly<Record<string, boolean>>;

function filesOf(name: string, table: object | undefined, keys: Keys): ConfigFile[] {
  const values = (table ?? {}) as Readonly<Record<string, unknown>>;
  return Object.entries(keys).flatMap(([key, is_private]) => {
    const path = values[key];
    return typeof path === "string" ? [{ key: `${name}.${key}`, path, is_private }] : [];
  });
}

/** The files that `[nats]` names. */
export function natsFiles(nats: Config["nats"]): ConfigFile[] {
  return filesOf("nats", nats, NATS);
}

/** Every file that the configuration names, in the order of the tables. */
export function namedFiles(
  { server, ops, admin, nats, quota, telemetry, auth, hooks, webhooks, ...config }: Config,
): ConfigFile[] {
  return [
    ...filesOf("server", server, LISTENER),
    ...filesOf("ops", ops, { ...LISTENER, token_file: true }),
    ...filesOf("admin", admin, LISTENER),
    ...natsFiles(nats),
    ...filesOf("quota", quota, QUOTA),
    ...filesOf("telemetry", telemetry, { headers_file: true }),
    ...auth.issuers.flatMap((issuer, index) =>
      filesOf(`auth.issuers[${index}]`, issuer, { jwks_file: false, pem_file: false })
    ),
    ...config.pusher.apps.flatMap((app, index) =>
      filesOf(`pusher.apps[${index}]`, app, { secret_file: true })
    ),
    ...config.centrifugo.api_keys.flatMap((key, index) =>
      filesOf(`centrifugo.api_keys[${index}]`, key, { key_file: true })
    ),
    ...filesOf("bridge.postgres", config.bridge.postgres, { database_file: true }),
    ...filesOf("proof", config.proof, { key_file: true }),
    ...filesOf("webhooks", webhooks, { ca_file: false }),
    ...config.reducers.flatMap((reducer, index) =>
      filesOf(`reducers[${index}]`, reducer, { file: false })
    ),
    ...hooks.flatMap((hook, index) => filesOf(`hooks[${index}]`, hook, { secret_file: true })),
  ];
}
