/** `[auth]`: who may sign tokens, and which messages must be signed. A part of `schema.ts`. */
import { z } from "zod";
import {
  always,
  idOrAny,
  isFetchable,
  refuseRepeated,
  roomPattern,
} from "./values/schema_values.ts";

/** Roles of a token: a person's client, a backend, or an operator. */
const Role = z.enum(["user", "service", "admin"]);
/** JWS algorithms that an issuer may list. */
const Algorithm = z.enum(["RS256", "ES256", "EdDSA"]);

const Issuer = z.strictObject({
  issuer: z.string().min(1).describe("the exact `iss` of its tokens"),
  audience: z.string().min(1).describe("what `aud` must contain"),
  jwks_file: z.string().min(1).optional().describe("file with a JWK set"),
  jwks_url: z.string().refine(isFetchable, {
    error: "expected an https URL (http only on a loopback address)",
  }).meta({ format: "uri" }).optional().describe("URL of a JWK set"),
  pem_file: z.string().min(1).optional().describe("file with one SPKI public key or certificate"),
  algorithms: z.array(Algorithm).min(1).default(["RS256"]).describe(
    "signature algorithms it may use",
  ),
  tenants: z.array(idOrAny).min(1).describe('tenants it may vouch for; "*" is any'),
  roles: z.array(Role).min(1).default(["user"]).describe("roles it may vouch for"),
}).refine(
  ({ jwks_file, jwks_url, pem_file }) =>
    [jwks_file, jwks_url, pem_file].filter((key) => key !== undefined).length === 1,
  { error: "expected exactly one of jwks_file, jwks_url and pem_file", ...always },
);

/** A role and a room pattern: their messages must be signed. */
export const SignatureRule = z.strictObject({
  role: Role.describe("role of the sender"),
  room: roomPattern.describe("room id or prefix pattern"),
});
export type SignatureRule = z.output<typeof SignatureRule>;

/** `[auth]`. */
export const Auth = z.strictObject({
  query_token: z.boolean().default(false).describe("accept ?access_token= (URLs get logged)"),
  clock_skew_seconds: z.int().min(0).max(300).default(30).describe("tolerance for exp and nbf"),
  require_signature: z.array(SignatureRule).default([]).describe(
    "roles and room patterns whose messages must carry an Ed25519 signature",
  ),
  issuers: z.array(Issuer).superRefine(
    refuseRepeated({
      list: "auth.issuers",
      members: ["issuer"],
      shown: "issuer",
      same: "the same issuer",
      expected: "expected each issuer once",
    }),
    always,
  ).default([]).describe("who may sign tokens"),
});
