/**
 * The refusal of a token, from the error of its verification. jose's errors contain the whole payload: they are never
 * kept as a cause and never shown.
 */
import { errors } from "@panva/jose";
import { ArqonError, type Reason } from "@arqon/proto";
import { isAudienceClaim } from "./claims.ts";
import type { Identity } from "./identity.ts";

/** The refusal of an expired token that is valid otherwise: the only refusal that names the token's owner. */
export class ExpiredToken extends ArqonError {
  /** For the ledger; a client only gets the reason. */
  readonly bearer: Pick<Identity, "tenant_id" | "user_id">;

  constructor({ tenant_id, user_id }: Pick<Identity, "tenant_id" | "user_id">) {
    super("token-expired");
    this.bearer = { tenant_id, user_id };
  }
}

type ClaimError = InstanceType<
  typeof errors.JWTClaimValidationFailed | typeof errors.JWTExpired
>;

const ISS_UNITS_MAX = 100;

/**
 * The refusal of an unknown issuer. It names the claim, cut and in ASCII, so that its author sees which issuer it was.
 */
export function issuerRefusal(iss: string): ArqonError {
  const text = JSON.stringify(iss.slice(0, ISS_UNITS_MAX)).replace(
    /[^ -~]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  const rest = iss.length > ISS_UNITS_MAX ? "..." : "";
  return new ArqonError("token-issuer", `${text}${rest} is not trusted`);
}

/** jose's claim failures; `check_failed` also means an `aud` of a wrong type. */
function claimRefusal(error: ClaimError): ArqonError {
  const { claim, reason } = error;
  if (reason === "missing") return new ArqonError("token-claim", `${claim} is missing`);
  if (reason === "check_failed" && claim === "nbf") return new ArqonError("token-not-yet-valid");
  if (reason === "check_failed" && claim === "iss") {
    return issuerRefusal(String(error.payload.iss));
  }
  if (reason === "check_failed" && claim === "aud" && isAudienceClaim(error.payload.aud)) {
    return new ArqonError("token-audience", "it is for another audience");
  }
  return new ArqonError("token-claim", `${claim} has a wrong type`);
}

type JoseCode = errors.JOSEErrorCode;

/** The reason of every code of jose's closed union; a new code fails the type check here. */
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

/** The details of each reason, without the token's content; an expired one needs none. */
const DETAILS: { readonly [R in Reason]?: string } = {
  "token-algorithm": "it is signed by an algorithm that its issuer does not use",
  "token-claim": "a claim is missing or invalid",
  "token-malformed": "it is not a signed JWT",
  "token-signature": "the signature is not by this key",
  "token-unknown-key": "its issuer has no key, or several, that may have signed it",
};

function isJoseCode(code: string): code is JoseCode {
  return Object.hasOwn(REASON_BY_CODE, code);
}

/**
 * The refusal for any verification error. jose's errors contain the whole payload, so they are never kept as a cause;
 * `undefined` for an error that no token can cause.
 */
export function tokenRefusal(error: unknown): ArqonError | undefined {
  if (error instanceof ArqonError) return error;
  if (error instanceof errors.JWTClaimValidationFailed) return claimRefusal(error);
  if (error instanceof errors.JOSEError && isJoseCode(error.code)) {
    const reason = REASON_BY_CODE[error.code];
    return new ArqonError(reason, DETAILS[reason] ?? "");
  }
  return undefined;
}
