/**
 * Authenticates a token: chooses the issuer, verifies everything, returns an identity. `authorize.ts` has what the
 * token allows; `key_source.ts` has keys. Tokens and claims never reach a log, a metric or an error: only our own texts
 * about them do.
 */
import { hash } from "node:crypto";
import { decodeJwt, decodeProtectedHeader, errors, type JWTPayload, jwtVerify } from "@panva/jose";
import { Counter, type Registry } from "prom-client";
import { ArqonError, type Reason } from "@arqon/proto";
import type { ConfigReloading } from "../../shared/config/live/reload.ts";
import { ConfigError } from "../../shared/config/load.ts";
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import { scrapedGauge } from "../../shared/metrics/metrics.ts";
import { type Claims, identityFrom } from "./claims.ts";
import type { Grant, Identity } from "./identity.ts";
import {
  type KeySource,
  type KeyStatus,
  openKeySource,
  type OpenRemoteKeys,
} from "./key_source.ts";
import { TokenCache, type Verified } from "./token_cache.ts";
import { ExpiredToken, issuerRefusal, tokenRefusal } from "./token_refusal.ts";
import { FairQueue } from "../../shared/turns/fair_queue.ts";
import { parseStrictJsonBytes } from "../../shared/strict_json.ts";
import type { Algorithm } from "./keys.ts";

/** What authentication needs from the process; `server.ts` passes it once, at start. */
export interface AuthenticatorOptions extends Pick<Env, "registry" | "log" | "now"> {
  readonly auth: Config["auth"];
  readonly limits: Pick<
    Config["limits"],
    "token_bytes" | "token_cache_bytes" | "concurrent_verifications" | "waiting_verifications"
  >;
  /** Reads a JWKS or PEM file: while the authenticator is created, and when the configuration is read again. */
  readonly readTextFile: (path: string) => string;
  /** Opens the keys of issuers behind URLs; absent: such an issuer is a start error. */
  readonly openRemote?: OpenRemoteKeys | undefined;
  /** Changes of the configuration; absent: there are none. */
  readonly reloading?: Pick<ConfigReloading, "onRead"> | undefined;
  /** Returns the grants from other claims if the token has no `grants`; undefined: everything. Throws `token-claim`. */
  readonly grantsOf?: (claims: Claims) => readonly Grant[] | undefined;
}

/** Tokens to identities, for upgrades, HTTP requests, REFRESH and the admin API. */
export interface Authenticator {
  /**
   * The identity of a token, fully verified. Rejects only with ArqonError: 401 with the reason, or 503
   * `keys-unavailable`. Concurrent calls are safe.
   */
  authenticate(token: string): Promise<Identity>;
  /**
   * Drops cached tokens with a matching identity, so that they are verified again; resolves with their number. Checks
   * each one, in slices. A token revoked by other means is refused in any case.
   */
  forget(fits: (identity: Identity) => boolean): Promise<number>;
  /** Fetches the key sets with a URL; failures are logged, and retried on demand. */
  warm(): Promise<void>;
  /** One entry for each issuer, in the order of the config. */
  keyStatus(): KeyStatus[];
  /** Aborts running fetches. */
  close(): void;
}

/**
 * The advised wait at a full queue, spread by token. Verifications take a fraction of a millisecond, so the queue is
 * soon empty.
 */
const WAIT_MS = 250;
const WAIT_SPREAD_MS = 500;

/**
 * The refusal at a full queue. The digest serves as a random number, and the same token waits for the same verification
 * anyway.
 */
function tooManyWait(digest: string): ArqonError {
  const spread = parseInt(digest.slice(0, 8), 16) / 2 ** 32;
  const retry_after_ms = WAIT_MS + Math.floor(spread * WAIT_SPREAD_MS);
  return new ArqonError("admission", "too many tokens wait to be verified", { retry_after_ms });
}

/** For a token whose only fault is its expiry, the refusal that names its owner; for any other error, that error. */
async function expiredToken(
  error: unknown,
  token: string,
  issuer: KeySource["issuer"],
): Promise<unknown> {
  if (!(error instanceof errors.JWTExpired)) return error;
  try {
    requireOneMeaning(token);
    return new ExpiredToken(await identityFrom(error.payload, issuer, 0, 0));
  } catch {
    return error;
  }
}

/** Verifies everything, with a key of its issuer. */
async function verify(
  token: string,
  digest: string,
  process: Pick<Authentication, "sources" | "verifications" | "options">,
): Promise<Verified> {
  const { auth, now } = process.options;
  const { alg, kid, iss } = inspect(token);
  const source = process.sources.get(iss);
  if (source === undefined) throw issuerRefusal(iss);
  const { issuer } = source;
  if (!issuer.algorithms.includes(alg)) {
    throw new ArqonError("token-algorithm", `${alg} is not accepted`);
  }
  // Not in the queue of verifications: an issuer whose keys are slow must not delay others.
  const key = await source.find(alg, kid);
  if (key === undefined) {
    throw new ArqonError("token-unknown-key", "none of the issuer's fits its `kid`");
  }
  return await process.verifications.run(iss, async () => {
    // After all waits.
    const now_ms = now();
    // For jose a token without exp never ends; identityFrom requires exp.
    const skew_ms = auth.clock_skew_seconds * 1_000;
    const { payload } = await jwtVerify<JWTPayload>(token, key, {
      algorithms: [alg],
      issuer: issuer.issuer,
      audience: issuer.audience,
      clockTolerance: auth.clock_skew_seconds,
      currentDate: new Date(now_ms),
    }).catch(async (error) => {
      throw await expiredToken(error, token, issuer);
    });
    requireOneMeaning(token);
    const known = await identityFrom(payload, issuer, now_ms, skew_ms);
    const grants = known.grants ?? process.options.grantsOf?.(known.claims);
    const identity = { ...known, grants, ...(kid === undefined ? {} : { key_id: kid }) };
    return { identity, source, alg, kid, key, verified_ms: now_ms };
  }, () => tooManyWait(digest));
}

/** A cached token, if everything about it is still valid. */
async function remembered(
  digest: string,
  { cache, options }: Pick<Authentication, "cache" | "options">,
): Promise<Identity | undefined> {
  const verified = cache.get(digest, options.now());
  if (verified === undefined) return undefined;
  // A reloaded set has new key objects: a withdrawn one is never found again.
  const key = await verified.source.find(verified.alg, verified.kid);
  if (key !== verified.key) {
    cache.delete(digest);
    return undefined;
  }
  // Finding the key may have taken long: the entry may have expired or been dropped meanwhile.
  return cache.get(digest, options.now()) === verified ? verified.identity : undefined;
}

interface Authentication {
  readonly options: AuthenticatorOptions;
  readonly sources: ReadonlyMap<string, KeySource>;
  /** By issuer: the tenant of a token is not known before. */
  readonly verifications: FairQueue;
  readonly cache: TokenCache;
  /** Running verifications, by digest: a second one of the same token waits for the first. */
  readonly pending: Map<string, Promise<Verified>>;
  readonly uses: Uses;
}

async function identify(token: string, process: Authentication): Promise<Identity> {
  const { cache, pending, options, uses } = process;
  // This check comes before any computation over the token. Units are never more than bytes, and `inspect` refuses
  // non-ASCII text.
  if (token.length > options.limits.token_bytes) {
    throw new ArqonError("token-too-large", `at most ${options.limits.token_bytes} bytes`);
  }
  const { purges } = cache;
  const digest = hash("sha256", token, "hex");
  const known = await remembered(digest, process);
  if (known !== undefined) {
    uses.hits.inc();
    return known;
  }
  let verified = pending.get(digest);
  if (verified === undefined) {
    uses.misses.inc();
    verified = verify(token, digest, process).then((found) => {
      if (cache.purges === purges) cache.add(digest, token.length, found);
      return found;
    }).finally(() => pending.delete(digest));
    pending.set(digest, verified);
  } else uses.hits.inc();
  return (await verified).identity;
}

async function openSources(options: AuthenticatorOptions): Promise<Map<string, KeySource>> {
  // The schema has each issuer once.
  const sources = new Map<string, KeySource>();
  const problems: ConfigError["problems"][number][] = [];
  for (const [position, issuer] of options.auth.issuers.entries()) {
    try {
      sources.set(issuer.issuer, await openKeySource(issuer, position, options));
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      problems.push(...error.problems);
    }
  }
  if (problems.length > 0) throw new ConfigError("", problems);
  return sources;
}

interface Uses {
  readonly hits: Counter;
  readonly misses: Counter;
}

function registerUses(registry: Registry): Uses {
  const registers = [registry];
  return {
    hits: new Counter({
      name: "shield_token_cache_hits_total",
      help: "Tokens that were verified before, or are being verified for somebody else.",
      registers,
    }),
    misses: new Counter({
      name: "shield_token_cache_misses_total",
      help: "Tokens that had to be verified.",
      registers,
    }),
  };
}

function registerLevels(registry: Registry, process: Authentication): void {
  const { cache, verifications } = process;
  const levels: [name: string, help: string, read: () => number][] = [
    ["shield_token_cache_tokens", "Verified tokens that are remembered.", () => cache.size],
    [
      "shield_token_cache_bytes",
      "Bytes that remembered tokens take, estimated.",
      () => cache.bytes,
    ],
    [
      "shield_token_verifications_waiting",
      "Tokens that wait for their verification.",
      () => verifications.waiting,
    ],
  ];
  for (const [name, help, read] of levels) scrapedGauge(registry, name, help, read);
}

/**
 * Loads all key files. Rejects with a ConfigError that names every unusable key and file and what is expected. URLs are
 * not fetched yet: see `warm`.
 */
export async function createAuthenticator(options: AuthenticatorOptions): Promise<Authenticator> {
  const { log, registry, limits } = options;
  const process: Authentication = {
    options,
    sources: await openSources(options),
    verifications: new FairQueue({
      running_max: limits.concurrent_verifications,
      waiting_max: limits.waiting_verifications,
    }),
    cache: new TokenCache(limits.token_cache_bytes),
    pending: new Map(),
    uses: registerUses(registry),
  };
  const { sources, cache } = process;
  registerLevels(registry, process);
  // Cached tokens follow: each is checked against the current key of its source.
  options.reloading?.onRead(async () => {
    const renewed = await Promise.all([...sources.values()].map((source) => source.renew()));
    return renewed.flat();
  });
  const results = new Counter({
    name: "shield_authentications_total",
    help: "Tokens looked at, by result: ok or the reason of the refusal.",
    labelNames: ["result"],
    registers: [registry],
  });

  async function authenticate(token: string): Promise<Identity> {
    try {
      const identity = await identify(token, process);
      results.inc({ result: "ok" });
      return identity;
    } catch (error) {
      let refusal = tokenRefusal(error);
      if (refusal === undefined) {
        // Fail closed; only the kind of the error, because its text may quote the token.
        const kind = error instanceof Error ? error.name : typeof error;
        log.error("verifying a token failed in an unexpected way", { kind });
        refusal = new ArqonError("token-signature", "it does not verify");
      }
      results.inc({ result: refusal.reason });
      throw refusal;
    }
  }

  return {
    authenticate,
    forget: (fits) => cache.forget(fits),
    warm: async () => {
      await Promise.all([...sources.values()].map((source) => source.warm()));
    },
    keyStatus: () => [...sources.values()].map((source) => source.status()),
    close: () => sources.forEach((source) => source.close()),
  };
}

// An unverified token: its form, its header, its issuer.

/** Three base64url parts; the last is empty in an unsigned token, which its `alg` refuses. */
const COMPACT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$/;
const KID_UNITS_MAX = 256;
const ALGORITHMS: readonly string[] = ["RS256", "ES256", "EdDSA"] satisfies Algorithm[];

function isAlgorithm(alg: string): alg is Algorithm {
  return ALGORITHMS.includes(alg);
}

/** The content of an unverified token; only used to choose the issuer and the key. */
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

/**
 * Checks header and payload byte by byte: jose takes the last of two equal members, and replaces invalid UTF-8, so
 * other parsers may read another token. Throws `token-malformed` and `token-claim` (401).
 */
function requireOneMeaning(token: string): void {
  const [header = "", payload = ""] = token.split(".");
  requireStrict("header", header, "token-malformed");
  requireStrict("payload", payload, "token-claim");
}

function requireStrict(part: string, text: string, reason: Reason): void {
  try {
    parseStrictJsonBytes(Uint8Array.fromBase64(text, { alphabet: "base64url" }));
  } catch (error) {
    throw new ArqonError(reason, `in its ${part}: ${error instanceof Error ? error.message : ""}`);
  }
}

/** Parses a token. Throws ArqonError (401) for an invalid one. */
function inspect(token: string): Unverified {
  if (token === "") throw new ArqonError("token-missing");
  if (!COMPACT.test(token)) {
    throw new ArqonError("token-malformed", "expected three base64url parts with dots between");
  }
  const header = parsed(() => decodeProtectedHeader(token), "header");
  const { alg, kid } = header;
  if (typeof alg !== "string") throw new ArqonError("token-malformed", "alg is not a string");
  if (!isAlgorithm(alg)) {
    const name = /^[A-Za-z0-9-]{1,16}$/.test(alg) ? alg : "what it names";
    throw new ArqonError("token-algorithm", `${name} is not accepted`);
  }
  // No extension is supported, so no critical one can be honoured (RFC 7515 4.1.11).
  if (header.crit !== undefined) throw new ArqonError("token-malformed", "crit is not supported");
  if (kid !== undefined && (typeof kid !== "string" || kid.length > KID_UNITS_MAX)) {
    throw new ArqonError("token-malformed", "kid is not a short string");
  }
  const { iss }: Claims = parsed(() => decodeJwt(token), "payload");
  if (iss === undefined) throw new ArqonError("token-claim", "iss is missing");
  if (typeof iss !== "string") throw new ArqonError("token-claim", "iss is not a string");
  return { alg, kid, iss };
}
