/** The commands of `arq auth`. */
import { InvalidArgumentError } from "commander";
import { command, type Definition, EACH, group } from "./define.ts";
import { ALGORITHMS, parseGrant, parseSeconds, ROLES } from "../../bus/token.ts";
import { failed, usageError } from "../../terminal/exit.ts";
import { asks, either, from, type Given, sentence } from "./asks.ts";
import { ANSWER, calls, span, TENANT, tenant } from "./options.ts";

// A command is loaded when it runs.
const authRevoke = () => import("../../commands/auth/auth.ts");

/**
 * Reads a time: `now`, a span before now (`10m`), or a date in ISO 8601. The result is in Unix ms, or in ms
 * before now as a negative number.
 */
function issuedBefore(text: string, option: string): number {
  if (text === "now") return -0;
  if (/^\d+[smhd]?$/.test(text)) return -parseSeconds(option, text) * 1_000;
  const at_ms = Date.parse(text);
  if (/^\d{4}-\d\d-\d\d/.test(text) && !Number.isNaN(at_ms)) return at_ms;
  throw new InvalidArgumentError("Expected now, 10m (ten minutes ago) or 2026-01-02T03:04:05Z.");
}

const REVOCATIONS = "/v1/revocations";

/** Throws when no tokens are selected. `kind` and `id` name the revocation as the bus does. */
function revocation(given: Given): Given {
  const { user, tokenId, issuedBefore, undo } = given;
  if (user !== undefined && tokenId !== undefined) {
    throw usageError("--user and --token-id exclude each other");
  }
  if (tokenId !== undefined && issuedBefore !== undefined) {
    throw usageError("--issued-before is for a user or for the whole tenant, not for --token-id");
  }
  if (user === undefined && tokenId === undefined && issuedBefore === undefined) {
    const hint = undo === true
      ? "--undo with --issued-before now is about the whole tenant"
      : undefined;
    throw usageError("expected --user, --token-id or --issued-before", hint);
  }
  const kind = user !== undefined ? "user" : tokenId !== undefined ? "token" : "issued-before";
  return { ...given, kind, id: user ?? tokenId ?? "*" };
}

const revokes = asks({
  route: `POST ${REVOCATIONS}`,
  body: "tenant,user,token_id,issued_before_ms,until_ms,reason",
  given: revocation,
  times: async ({ issuedBefore, for: seconds }, ago) => ({
    issued_before_ms: issuedBefore > 0
      ? issuedBefore
      : await ago(issuedBefore === undefined ? undefined : issuedBefore / -1_000),
    until_ms: seconds === undefined ? undefined : await ago(-seconds),
  }),
  text: from(authRevoke, "revokedText"),
});

const makesGood = asks({
  route: `DELETE ${REVOCATIONS}?tenant,kind,id`,
  given: revocation,
  check({ lifted }, { tenant }) {
    if (lifted === true) return;
    throw failed(`tenant ${tenant} has no such revocation`, "arq auth revocations shows them");
  },
  text: sentence((_, { tenant }) => `lifted: unexpired tokens are valid again in tenant ${tenant}`),
});

/** `arq auth` */
export const AUTH: readonly Definition[] = [
  group`auth: make keys and tokens, and revoke tokens`,
  command`auth keys: make a key pair: a private JWK for your token server, a public set for the bus
    --out <dir>  folder for the two files ${{ is: "." }}
    --alg <name>  signature algorithm ${ALGORITHMS} ${{ is: "RS256" }}
    --json  print the paths as JSON

    $ arq auth keys --out keys
    $ arq auth keys --alg EdDSA --json`(calls(authRevoke, "authKeys")),
  command`auth gen: make a token and print it; with the context's or the dev bus's key
    --role <name>  role of the token ${ROLES} ${{ is: "user" }}
    --tenant <id>  tenant (default: the context's, else default)
    --user <id>  user id (default: dev-ROLE)
    --grant <room:actions>  allow only this; repeatable (default: everything in the tenant)
      ${parseGrant} ${EACH}
    --ttl <time>  lifetime of the token: 15m, 1h, 7d or seconds ${span} ${{ is: 3_600 }}
    --key <file>  private JWK to sign with, as arq auth keys makes it
    --context <name>  sign with the key of this context; dev: of the development bus
    --issuer <text>  iss of the token (with --key)
    --audience <text>  aud of the token (with --key)
    --json  print the token and its claims as JSON

    $ arq auth gen --role user
    $ arq auth gen --tenant acme --user u1 --grant 'chat-*:publish,subscribe' --ttl 15m
    $ arq auth gen --context prod --role admin --ttl 15m
    $ arq auth gen --key keys/arqon-private.jwk.json --issuer https://issuer.example --audience arqon`(
    calls(authRevoke, "authGen"),
  ),
  command`auth revoke: invalidate tokens on every Shield, within a second
    ${ANSWER} ${TENANT}
    --user <id>  the tokens of this user that were issued before now
    --token-id <jti>  the token with this id
    --issued-before <time>  tokens issued before: now, 10m (ten minutes ago) or a date; alone, of the whole
      tenant ${issuedBefore}
    --for <time>  duration: longer than the tokens' lifetime (default: auth.revocation_seconds)
      ${span}
    --reason <text>  the reason that the client receives
    --undo  lift the revocation instead

    Open connections with such a token end with 4401; their SDK requests a new token. A token
    without iat counts as issued before any time. To exclude a user permanently:
    arq room ban --scope tenant --forever.
    $ arq auth revoke --tenant acme --user ann --reason 'lost phone'
    $ arq auth revoke --tenant acme --token-id 4f1c --for 15m
    $ arq auth revoke --tenant acme --issued-before now
    $ arq auth revoke --tenant acme --user ann --undo`(either("undo", makesGood, revokes)),
  command`auth revocations: list the revocations of all tenants or of one
    ${ANSWER}
    --tenant <id>  only of this tenant ${tenant}

    $ arq auth revocations
    $ arq auth revocations --tenant acme`(
    asks({ route: `GET ${REVOCATIONS}?tenant`, text: from(authRevoke, "revocationsText") }),
  ),
];
