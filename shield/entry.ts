/** Who may come in at all: neither banned nor revoked. What a token allows inside is `auth/authorize.ts`. */
import type { Identity } from "./auth/identity.ts";
import type { Parts } from "./parts.ts";

/** Throws when the user is banned or the token revoked, and while that is unknown. */
export function requireEntry(
  { bans, revocations }: Pick<Parts, "bans" | "revocations">,
  identity: Identity,
): void {
  bans.requireEntry(identity);
  revocations.held.requireEntry(identity);
}
