/** For tests: an authenticated user. Not part of the Shield. */
import type { Identity } from "../identity.ts";
import { SPINE_NOW_MS } from "../../testing/spine.ts";

/** Ann of tenant `acme`, who may do everything there, for another minute. */
export const ann: Identity = {
  tenant_id: "acme",
  user_id: "ann",
  user_key: "https://id.example.com\nann",
  role: "user",
  issuer: "https://id.example.com",
  expires_ms: SPINE_NOW_MS + 60_000,
  token_id: undefined,
  grants: undefined,
  signing_key: undefined,
  claims: {},
};
