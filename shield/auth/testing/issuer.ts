/**
 * An issuer with fresh keys, for tests of the Shield's edge: mints good tokens and any bad one.
 * Not for production code; `arq auth` makes real keys.
 */
import { exportJWK, exportSPKI, generateKeyPair, type JWK } from "@panva/jose";
import { ArqonError } from "@arqon/proto";
import { Registry } from "prom-client";
import type { Config } from "../../../shared/config/schema.ts";
import { configFrom } from "../../../shared/config/load.ts";
import { keptLog } from "../../../shared/testing/logs.ts";
import { createAuthenticator } from "../authenticate.ts";
import type { Authenticator, AuthenticatorOptions } from "../authenticate.ts";
import type { Algorithm } from "../keys.ts";
import type { ShieldOptions } from "../../capability.ts";
import { JWKS } from "../../jwks/capability.ts";

/** The tests' present: 2026-01-02T03:04:05Z. */
export const NOW_MS = 1_767_323_045_000;
/** The same in seconds, as claims have it. */
export const NOW_SECONDS = NOW_MS / 1_000;
/** `iss` of good tokens and of `authConfig`. */
export const ISSUER = "https://id.example.com";
/** `aud` of good tokens and of `authConfig`. */
export const AUDIENCE = "arqon";

/** A fresh key pair in the forms that tests put into files and tokens. */
export interface TestKey {
  readonly alg: Algorithm;
  readonly kid: string;
  readonly private_key: CryptoKey;
  /** With `kid`, `alg` and `use`. */
  readonly public_jwk: JWK;
  readonly public_pem: string;
}

/** RSA keys take about 100 ms: make them once a file, not once a test. */
export async function makeTestKey(alg: Algorithm, kid: string): Promise<TestKey> {
  const pair = await generateKeyPair(alg, { extractable: true });
  return {
    alg,
    kid,
    private_key: pair.privateKey,
    public_jwk: { ...await exportJWK(pair.publicKey), kid, alg, use: "sig" },
    public_pem: await exportSPKI(pair.publicKey),
  };
}

/** A JWK set of the public halves, as in a JWKS file or URL. */
export function jwksText(...keys: readonly TestKey[]): string {
  return JSON.stringify({ keys: keys.map((key) => key.public_jwk) });
}

/** Claims that a config from `authConfig` accepts. */
export function goodClaims(): Record<string, unknown> {
  return {
    iss: ISSUER,
    aud: AUDIENCE,
    exp: NOW_SECONDS + 3_600,
    sub: "u1",
    tenant_id: "acme",
    role: "user",
  };
}

/** One part of a compact token: text unchanged, any other value as its JSON. */
export function base64url(part: unknown): string {
  const text = typeof part === "string" ? part : JSON.stringify(part);
  return new TextEncoder().encode(text).toBase64({ alphabet: "base64url", omitPadding: true });
}

const SIGNING = {
  RS256: { name: "RSASSA-PKCS1-v1_5" },
  ES256: { name: "ECDSA", hash: "SHA-256" },
  EdDSA: { name: "Ed25519" },
} as const;

/** Signs any header and payload, also invalid ones, which jose would refuse to make. */
export async function sign(key: TestKey, header: unknown, payload: unknown): Promise<string> {
  const input = `${base64url(header)}.${base64url(payload)}`;
  const bytes = new TextEncoder().encode(input);
  const signature = await crypto.subtle.sign(SIGNING[key.alg], key.private_key, bytes);
  const text = new Uint8Array(signature).toBase64({ alphabet: "base64url", omitPadding: true });
  return `${input}.${text}`;
}

/** A token with the good claims, changed by `change`; `undefined` removes a claim. */
export function mint(key: TestKey, change: Record<string, unknown> = {}): Promise<string> {
  return sign(key, { alg: key.alg, kid: key.kid }, { ...goodClaims(), ...change });
}

type IssuerConfig = Partial<Config["auth"]["issuers"][number]>;

/** `[auth]` with one issuer on `jwks.json`, unless changed. */
export function authConfig(
  issuer: IssuerConfig = {},
  auth: Partial<Config["auth"]> = {},
): Config["auth"] {
  const entry = { issuer: ISSUER, audience: AUDIENCE, tenants: ["acme", "globex"], ...issuer };
  const has_key = issuer.jwks_url !== undefined || issuer.pem_file !== undefined;
  const issuers = [has_key ? entry : { jwks_file: "jwks.json", ...entry }];
  return configFrom({ auth: { issuers, ...auth } }).auth;
}

/** An authenticator with a readable log and metrics. */
export interface TestAuthenticator extends Authenticator {
  /** Every log line so far. */
  readonly lines: string[];
  readonly registry: Registry;
}

/** An authenticator over files given as text, at the tests' present time. */
export async function testAuthenticator(
  auth: Config["auth"],
  files: Readonly<Record<string, string>>,
  now: () => number = () => NOW_MS,
  limits: Partial<Config["limits"]> = {},
  reloading?: AuthenticatorOptions["reloading"],
  monotonic_ms: () => number = now,
): Promise<TestAuthenticator> {
  const { log, lines } = keptLog({ now: () => NOW_MS });
  const registry = new Registry();
  const base = configFrom({});
  const config = { ...base, auth, limits: { ...base.limits, token_bytes: 4_096, ...limits } };
  const authenticator = await createAuthenticator({
    auth,
    limits: config.limits,
    readTextFile(path) {
      const text = files[path];
      if (text === undefined) throw new Deno.errors.NotFound(`no such file: ${path}`);
      return text;
    },
    now,
    log,
    registry,
    reloading,
    openRemote: JWKS.keys?.(
      { config, now, monotonic_ms, fetch, log, registry } as ShieldOptions,
    ),
  });
  return { ...authenticator, lines, registry };
}

/** Its refusal of a token; fails for any other error, and for an identity. */
export async function refusalOf(authenticator: Authenticator, token: string): Promise<ArqonError> {
  const error = await authenticator.authenticate(token).then(() => undefined, (error) => error);
  if (error instanceof ArqonError) return error;
  throw new TypeError(`expected a refusal, not ${error}`, { cause: error });
}

/** "ok", or the reason of its refusal. */
export async function outcomeOf(authenticator: Authenticator, token: string): Promise<string> {
  return await authenticator.authenticate(token).then(() => "ok", (error) => {
    if (error instanceof ArqonError) return error.reason;
    throw error;
  });
}

/** A real HTTP server for a key set with a changeable answer; counts requests. */
export function serveKeys(answer: () => Response | Promise<Response>) {
  const state = { answer, requests: 0 };
  const options = { hostname: "127.0.0.1", port: 0, onListen: () => {} };
  const server = Deno.serve(options, () => {
    state.requests += 1;
    return state.answer();
  });
  const url = `http://127.0.0.1:${server.addr.port}/jwks?secret=hidden`;
  return {
    state,
    url,
    stop: () => server.shutdown(),
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}
