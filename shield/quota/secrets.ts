/** The login of a Shield at the quota server, from the current files in `[quota]`. */
import type { Quota as QuotaConfig } from "../../shared/config/schema_quota.ts";
import { passwordIn, type ReadFile, readSecret } from "../../shared/process/secret_file.ts";
import { certificatesIn, privateKeyIn, requirePair } from "../../shared/process/secret_tls.ts";
import type { ValkeySecrets } from "./valkey.ts";

/** Reads the files that `[quota]` names. Throws a ConfigError that names the key and the file. */
export function quotaSecrets(config: QuotaConfig, read: ReadFile): ValkeySecrets {
  const { password_file, tls_ca_file, tls_cert_file, tls_key_file } = config;
  const text = <T>(name: string, path: string | undefined, parse: (text: string) => T) =>
    path === undefined ? undefined : readSecret(read, { key: `quota.${name}`, path }, parse);
  const password = text("password_file", password_file, passwordIn);
  const ca = text("tls_ca_file", tls_ca_file, certificatesIn);
  const cert = text("tls_cert_file", tls_cert_file, certificatesIn);
  const key = text("tls_key_file", tls_key_file, privateKeyIn);
  requirePair({ key: "quota.tls_key_file", path: tls_key_file ?? "" }, cert, key);
  const tls = {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
  };
  return {
    ...(password === undefined ? {} : { password }),
    ...(Object.keys(tls).length === 0 ? {} : { tls }),
  };
}
