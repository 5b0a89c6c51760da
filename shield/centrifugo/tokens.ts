/**
 * Tokens that were made for Centrifugo. What a token grants is its claim `grants`, verified like every token; here
 * only what would be lost silently is refused.
 */
import { decodeJwt } from "@panva/jose";
import { ArqonError } from "@arqon/proto";

/** Claims with which Centrifugo limits a token, or subscribes for it. */
const FOREIGN = ["caps", "channel", "channels", "subs"] as const;

/** Throws `token-claim` for a token that says by claims of Centrifugo alone what it allows. It is not verified yet. */
export function refuseForeignClaims(token: string): void {
  let claims: Readonly<Record<string, unknown>>;
  try {
    claims = decodeJwt(token);
  } catch {
    // Who verifies it says what it is.
    return;
  }
  if (claims.grants !== undefined) return;
  const found = FOREIGN.find((name) => claims[name] !== undefined);
  if (found === undefined) return;
  throw new ArqonError("token-claim", `${found} is not read here; expected grants beside it`);
}
