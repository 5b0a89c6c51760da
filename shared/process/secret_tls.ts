/** Parses the certificates and keys of a TLS client. Reads no file and does not connect. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { ConfigError } from "../config/load.ts";
import { type NamedFile, SecretProblem } from "./secret_file.ts";

const PEM_BLOCK = /-----BEGIN CERTIFICATE-----[^]+?-----END CERTIFICATE-----/;

/** One or more certificates in PEM. */
export function certificatesIn(text: string): string {
  if (PEM_BLOCK.test(text)) return text;
  throw new SecretProblem("holds no certificate; expected PEM");
}

/** A private key in PEM, without a passphrase. */
export function privateKeyIn(text: string): string {
  try {
    createPrivateKey(text);
    return text;
  } catch {
    throw new SecretProblem("holds no private key without a passphrase; expected PEM");
  }
}

/** Throws a ConfigError if the key does not match the certificate; does nothing if one of the two is not set. */
export function requirePair(
  { key: name, path }: NamedFile,
  cert: string | undefined,
  key: string | undefined,
): void {
  if (cert === undefined || key === undefined || isPair(cert, key)) return;
  const text = `${JSON.stringify(path)} is not the key of the certificate beside it`;
  throw new ConfigError("", [{ position: undefined, key: name, text }]);
}

function isPair(cert: string, key: string): boolean {
  try {
    return new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
  } catch {
    return false;
  }
}
