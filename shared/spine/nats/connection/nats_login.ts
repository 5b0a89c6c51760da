/**
 * The login of a process at a NATS server: a password, a token, an nkey, a .creds file, a certificate. Files are read
 * again before each attempt to connect, so that a rotated secret needs no restart. It does not connect.
 */
import {
  credsAuthenticator,
  nkeyAuthenticator,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
} from "@nats-io/transport-deno";
import type { Authenticator, TlsOptions } from "@nats-io/transport-deno";
import type { Config } from "../../../config/schema.ts";
import type { Logger } from "../../../logs/log.ts";
import {
  passwordIn,
  readSecret,
  RenewedSecret,
  SecretProblem,
  tokenIn,
} from "../../../process/secret_file.ts";
import type { ReadFile } from "../../../process/secret_file.ts";
import { certificatesIn, privateKeyIn, requirePair } from "../../../process/secret_tls.ts";

type NatsConfig = NonNullable<Config["nats"]>;

/** The parsed URLs of a configuration. */
export interface Addresses {
  /** `host:port`, without credentials: safe to show. */
  readonly servers: string[];
  readonly tls: boolean;
  readonly user?: string;
  readonly pass?: string;
  readonly token?: string;
}

/** Splits user and password, or a token alone, from the URLs. */
export function parseAddresses(urls: readonly string[]): Addresses {
  const parsed = urls.map((text) => new URL(text.replace(/^(nats|tls):/, "http:")));
  const servers = parsed.map((url) => `${url.hostname}:${url.port === "" ? "4222" : url.port}`);
  const tls = urls.some((url) => url.startsWith("tls:"));
  const login = parsed.find((url) => url.username !== "");
  if (login === undefined) return { servers, tls };
  const user = decodeURIComponent(login.username);
  if (login.password === "") return { servers, tls, token: user };
  return { servers, tls, user, pass: decodeURIComponent(login.password) };
}

const bytesOf = (text: string) => new TextEncoder().encode(text);

/** The line of a user's seed, alone or among the decoration that `nsc` puts around it. */
function seedIn(text: string): Uint8Array {
  const seed = text.split(/\r?\n/).map((line) => line.trim()).find((line) => /^S[A-Z]/.test(line));
  const problem = new SecretProblem("holds no seed of a user's nkey; expected a line SU…");
  if (seed === undefined || !seed.startsWith("SU")) throw problem;
  try {
    // Throws for a truncated or mistyped seed, which would otherwise close the connection finally.
    nkeyAuthenticator(bytesOf(seed))("nonce");
  } catch {
    throw problem;
  }
  return bytesOf(seed);
}

function credentialsIn(text: string): Uint8Array {
  const bytes = bytesOf(text);
  try {
    credsAuthenticator(bytes)("nonce");
    return bytes;
  } catch {
    throw new SecretProblem("is no .creds file; expected a JWT and a seed as `nsc` writes them");
  }
}

/** Reads the login of a configuration. Throws a ConfigError that names the key and the file. */
function loginOf(
  config: NatsConfig,
  { user: url_user, pass, token }: Addresses,
  read: ReadFile,
): Authenticator | undefined {
  const inFile = <T>(key: string, path: string, parse: (text: string) => T) =>
    readSecret(read, { key: `nats.${key}`, path }, parse);
  const { password_file, token_file, nkey_file, credentials_file } = config;
  if (password_file !== undefined) {
    // A user alone in a URL is a token, unless there is a password for it.
    const user = config.user ?? token ?? "";
    return usernamePasswordAuthenticator(user, inFile("password_file", password_file, passwordIn));
  }
  if (token_file !== undefined) {
    return tokenAuthenticator(inFile("token_file", token_file, tokenIn));
  }
  if (nkey_file !== undefined) return nkeyAuthenticator(inFile("nkey_file", nkey_file, seedIn));
  if (credentials_file !== undefined) {
    return credsAuthenticator(inFile("credentials_file", credentials_file, credentialsIn));
  }
  if (url_user !== undefined) return usernamePasswordAuthenticator(url_user, pass);
  return token === undefined ? undefined : tokenAuthenticator(token);
}

/** Reads certificates and key. Throws as `loginOf` does, also for a key of another certificate. */
function tlsOf(config: NatsConfig, by_url: boolean, read: ReadFile): TlsOptions | undefined {
  const { tls_ca_file, tls_cert_file, tls_key_file } = config;
  const tls: TlsOptions = {};
  if (tls_ca_file !== undefined) {
    tls.ca = readSecret(read, { key: "nats.tls_ca_file", path: tls_ca_file }, certificatesIn);
  }
  if (tls_cert_file !== undefined && tls_key_file !== undefined) {
    tls.cert = readSecret(read, { key: "nats.tls_cert_file", path: tls_cert_file }, certificatesIn);
    tls.key = readSecret(read, { key: "nats.tls_key_file", path: tls_key_file }, privateKeyIn);
    requirePair({ key: "nats.tls_key_file", path: tls_key_file }, tls.cert, tls.key);
  }
  return by_url || Object.keys(tls).length > 0 ? tls : undefined;
}

/** The login of one connection, through all its reconnects. */
export class NatsLogin {
  readonly #login: RenewedSecret<Authenticator | undefined>;
  readonly #tls: RenewedSecret<TlsOptions | undefined>;
  #authenticator: Authenticator | undefined;

  /** Reads every file at once. Throws a ConfigError that names the key and the file. */
  constructor(config: NatsConfig, read: ReadFile, log?: Logger) {
    const addresses = parseAddresses(config.urls);
    this.#login = new RenewedSecret(() => loginOf(config, addresses, read), log);
    this.#tls = new RenewedSecret(() => tlsOf(config, addresses.tls, read), log);
  }

  /** The TLS options of an attempt to connect that begins now; undefined: as the server requires. */
  begin(): TlsOptions | undefined {
    this.#authenticator = this.#login.current();
    return this.#tls.current();
  }

  /** Answers the server's greeting with the login that `begin` read. Never throws. */
  readonly authenticator: Authenticator = (nonce) => this.#authenticator?.(nonce);
}
