/**
 * Verifies tokens for `tokens_by_pyjwt.py`: a line on stdin is JSON with a JWK set and tokens; a line on stdout has our
 * authenticator's result for each: the user, or "" if it is refused.
 */
import { createInterface } from "node:readline";
import process from "node:process";
import { Registry } from "prom-client";
import { configFrom } from "../../shared/config/load.ts";
import { testLog } from "../../shared/testing/logs.ts";
import { createAuthenticator } from "../../shield/auth/authenticate.ts";
import { openKeySet } from "../../shield/jwks/remote_keys.ts";

interface Asked {
  readonly jwks: string;
  readonly tokens: readonly string[];
}

async function verdictsOf({ jwks, tokens }: Asked): Promise<readonly string[]> {
  const issuer = {
    issuer: "https://id.example.com",
    audience: "arqon",
    tenants: ["*"],
    roles: ["user"],
    algorithms: ["RS256", "ES256", "EdDSA"],
    jwks_url: "https://id.example.com/jwks",
  };
  const { auth, limits } = configFrom({ auth: { issuers: [issuer], clock_skew_seconds: 0 } });
  const authenticator = await createAuthenticator({
    auth,
    limits,
    readTextFile: () => "",
    now: Date.now,
    log: testLog(),
    registry: new Registry(),
    openRemote: (placed, url) =>
      openKeySet(placed, url, {
        auth,
        waiting_max: limits.waiting_verifications,
        now: Date.now,
        monotonic_ms: () => performance.now(),
        fetch: () => Promise.resolve(new Response(jwks)),
        log: testLog(),
        onFetch: () => {},
      }),
  });
  const verdicts: string[] = [];
  for (const token of tokens) {
    verdicts.push(
      await authenticator.authenticate(token).then(({ user_id }) => user_id, () => ""),
    );
  }
  authenticator.close();
  return verdicts;
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await verdictsOf(JSON.parse(line))));
}
