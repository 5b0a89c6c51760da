/**
 * Who is behind a token: chooses the issuer, verifies everything, returns an identity.
 * What the token allows is `authorize.ts`; where keys come from is `key_source.ts`. Tokens and
 * claims never reach a log, a metric or an error: only our own words about them do.
 */
import { decodeJwt, decodeProtectedHeader, errors, jwtVerify } from "@panva/jose";
import type { JWTPayload } from "@panva/jose";
import { Counter } from "prom-client";
import type { Registry } from "prom-client";
import { ArqonError } from "@arqon/proto";
import type { Reason } from "@arqon/proto";
import { ConfigError } from "../shared/config/load.ts";
import type { Config } from "../shared/config/schema.ts";
import type { Logger } from "../shared/log.ts";
import { identityFrom, isAudienceClaim } from "./claims.ts";
import type { Claims } from "./claims.ts";
import type { Identity } from "./identity.ts";
import { openKeySource } from "./key_source.ts";
import type { KeySource, KeyStatus } from "./key_source.ts";
import type { Algorithm } from "./keys.ts";

export type { Action, Grant, Identity, Role } from "./identity.ts";
export type { KeyStatus } from "./key_source.ts";

/** What authentication needs of the process; `server.ts` hands it in once, at start. */
export interface AuthenticatorOptions {
  readonly auth: Config["auth"];
  readonly limits: Pick<Config["limits"], "token_bytes">;
  /** Reads a JWKS or PEM file; called only while the authenticator is created. */
  readonly readTextFile: (path: string) => string;
  /** Unix ms. */
  readonly now: () => number;
  readonly fetch: typeof fetch;
  readonly log: Logger;
  readonly registry: Registry;
}

/** Tokens to identities, for upgrades, HTTP requests, REFRESH and the admin API. */
export interface Authenticator {
  /**
   * The identity behind a token, everything verified. Rejects only with ArqonError: 401 with the
   * reason, or 503 `keys-unavailable`. Safe to call any number of times at once.
   */
  authenticate(token: string): Promise<Identity>;
  /** Fetches the key sets that come by URL; failures are logged and tried again on demand. */
  warm(): Promise<void>;
  /** One entry an issuer, in the order of the config. */
  keyStatus(): KeyStatus[];
  /** Ends fetches under way. */
  close(): void;
}

/** Three base64url parts; the last is empty in an unsigned token, which its `alg` refuses. */
const COMPACT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$/;
const KID_UNITS_MAX = 256;
const ALGORITHMS: readonly string[] = ["RS256", "ES256", "EdDSA"] satisfies Algorithm[];

function isAlgorithm(alg: string): alg is Algorithm {
  return ALGORITHMS.includes(alg);
}

/** What an unverified token says of itself; used only to choose issuer and key. */
interface Unverified {
  readonly alg: Algorithm;
  readonly kid: string | undefined;
  readonly iss: string;
}

/** jose's parsers, with our refusal: their messages quote the token. */
function parsed<T>(parse: () => T, part: string): T {
  try {
    return parse();
  } catch {
    throw new ArqonError("token-malformed", `its ${part} is not a JSON object in base64url`);
  }
}

function inspect(token: string, token_bytes: number): Unverified {
  if (token === "") throw new ArqonError("token-missing");
  // Units are never more than bytes, and what is not ASCII is refused below.
  if (token.length > token_bytes) throw new ArqonError("token-too-large", `${token_bytes}`);
  if (!COMPACT.test(token)) {
    throw new ArqonError("token-malformed", "expected three base64url parts with dots between");
  }
  const header = parsed(() => decodeProtectedHeader(token), "header");
  const { alg, kid } = header;
  if (typeof alg !== "string") throw new ArqonError("token-malformed", "alg is not a string");
  if (!isAlgorithm(alg)) {
    const name = /^[A-Za-z0-9-]{1,16}$/.test(alg) ? alg : "not a known name";
    throw new ArqonError("token-algorithm", name);
  }
  // No extension is understood here, so whatever is critical cannot be honoured (RFC 7515 4.1.11).
  if (header.crit !== undefined) throw new ArqonError("token-malformed", "crit is not supported");
  if (kid !== undefined && (typeof kid !== "string" || kid.length > KID_UNITS_MAX)) {
    throw new ArqonError("token-malformed", "kid is not a short string");
  }
  const { iss }: Claims = parsed(() => decodeJwt(token), "payload");
  if (iss === undefined) throw new ArqonError("token-claim", "iss is missing");
  if (typeof iss !== "string") throw new ArqonError("token-claim", "iss is not a string");
  return { alg, kid, iss };
}

type ClaimError = InstanceType<
  typeof errors.JWTClaimValidationFailed | typeof errors.JWTExpired
>;

/** jose's claim failures; it says `check_failed` also for an `aud` of a wrong type. */
function claimRefusal(error: ClaimError): ArqonError {
  const { claim, reason } = error;
  if (reason === "missing") return new ArqonError("token-claim", `${claim} is missing`);
  if (reason === "check_failed" && claim === "nbf") return new ArqonError("token-not-yet-valid");
  if (reason === "check_failed" && claim === "iss") return new ArqonError("token-issuer");
  if (reason === "check_failed" && claim === "aud" && isAudienceClaim(error.payload.aud)) {
    return new ArqonError("token-audience");
  }
  return new ArqonError("token-claim", `${claim} has a wrong type`);
}

type JoseCode = errors.JOSEErrorCode;

/** Every code of jose's closed union; a new one fails the type check here. */
const REASON_BY_CODE: Record<JoseCode, Reason> = {
  ERR_JOSE_ALG_NOT_ALLOWED: "token-algorithm",
  ERR_JOSE_GENERIC: "token-malformed",
  ERR_JOSE_NOT_SUPPORTED: "token-malformed",
  ERR_JWE_DECRYPTION_FAILED: "token-malformed",
  ERR_JWE_INVALID: "token-malformed",
  ERR_JWK_INVALID: "token-unknown-key",
  ERR_JWKS_INVALID: "token-unknown-key",
  ERR_JWKS_MULTIPLE_MATCHING_KEYS: "token-unknown-key",
  ERR_JWKS_NO_MATCHING_KEY: "token-unknown-key",
  ERR_JWKS_TIMEOUT: "keys-unavailable",
  ERR_JWS_INVALID: "token-malformed",
  ERR_JWS_SIGNATURE_VERIFICATION_FAILED: "token-signature",
  ERR_JWT_CLAIM_VALIDATION_FAILED: "token-claim",
  ERR_JWT_EXPIRED: "token-expired",
  ERR_JWT_INVALID: "token-malformed",
};

function isJoseCode(code: string): code is JoseCode {
  return Object.hasOwn(REASON_BY_CODE, code);
}

/**
 * The refusal for anything that verification threw. jose's errors carry the whole payload, so they
 * are never kept as a cause; `undefined` for what no token should be able to cause.
 */
function refusalOf(error: unknown): ArqonError | undefined {
  if (error instanceof ArqonError) return error;
  if (error instanceof errors.JWTClaimValidationFailed) return claimRefusal(error);
  if (error instanceof errors.JOSEError && isJoseCode(error.code)) {
    return new ArqonError(REASON_BY_CODE[error.code], "jose cannot verify it");
  }
  return undefined;
}

async function verify(
  token: string,
  sources: ReadonlyMap<string, KeySource>,
  options: AuthenticatorOptions,
): Promise<Identity> {
  const { auth, now } = options;
  const { alg, kid, iss } = inspect(token, options.limits.token_bytes);
  const source = sources.get(iss);
  if (source === undefined) throw new ArqonError("token-issuer");
  const { issuer } = source;
  if (!issuer.algorithms.includes(alg)) throw new ArqonError("token-algorithm", alg);
  const key = await source.find(alg, kid);
  if (key === undefined) throw new ArqonError("token-unknown-key");
  // After the keys, whose fetch may take its time.
  const now_ms = now();
  // jose takes an absent exp for a token that never ends; identityFrom requires it.
  const { payload } = await jwtVerify<JWTPayload>(token, key, {
    algorithms: [alg],
    issuer: issuer.issuer,
    audience: issuer.audience,
    clockTolerance: auth.clock_skew_seconds,
    currentDate: new Date(now_ms),
  });
  return await identityFrom(payload, issuer, now_ms, auth.clock_skew_seconds * 1_000);
}

async function openSources(options: AuthenticatorOptions): Promise<Map<string, KeySource>> {
  const { auth, readTextFile, now, fetch, log, registry } = options;
  const fetches = new Counter({
    name: "shield_jwks_fetches_total",
    help: "Fetches of JWK sets, by issuer and result",
    labelNames: ["issuer", "result"],
    registers: [registry],
  });
  const onFetch = (issuer: string, result: string) => fetches.inc({ issuer, result });
  // The schema has each issuer once.
  const sources = new Map<string, KeySource>();
  const problems: ConfigError["problems"][number][] = [];
  for (const [position, issuer] of auth.issuers.entries()) {
    try {
      const source = await openKeySource(issuer, position, {
        auth,
        readTextFile,
        now,
        fetch,
        log,
        onFetch,
      });
      sources.set(issuer.issuer, source);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      problems.push(...error.problems);
    }
  }
  if (problems.length > 0) throw new ConfigError("", problems);
  return sources;
}

/**
 * Loads all key files. Rejects with a ConfigError that names every key and file that cannot be used
 * and says what would be right. URLs are not fetched yet: see `warm`.
 */
export async function createAuthenticator(options: AuthenticatorOptions): Promise<Authenticator> {
  const { log, registry } = options;
  const sources = await openSources(options);
  const results = new Counter({
    name: "shield_authentications_total",
    help: "Tokens looked at, by result: ok or the reason of the refusal",
    labelNames: ["result"],
    registers: [registry],
  });

  async function authenticate(token: string): Promise<Identity> {
    try {
      const identity = await verify(token, sources, options);
      results.inc({ result: "ok" });
      return identity;
    } catch (error) {
      let refusal = refusalOf(error);
      if (refusal === undefined) {
        // Fail closed; only the kind of the error, because its text may quote the token.
        const kind = error instanceof Error ? error.name : typeof error;
        log.error("verifying a token failed in an unexpected way", { kind });
        refusal = new ArqonError("token-signature");
      }
      results.inc({ result: refusal.reason });
      throw refusal;
    }
  }

  return {
    authenticate,
    warm: async () => {
      await Promise.all([...sources.values()].map((source) => source.warm()));
    },
    keyStatus: () => [...sources.values()].map((source) => source.status()),
    close: () => sources.forEach((source) => source.close()),
  };
}
