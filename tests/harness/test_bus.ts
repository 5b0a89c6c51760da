/** The interface of a running development bus for a test, wherever it runs: its addresses, its tokens, its log. */
import { importJWK, SignJWT } from "@panva/jose";

/** The content of a token; defaults: user `tester` of tenant `default`, role user, one hour. */
export interface TokenOptions {
  role?: "user" | "service" | "admin";
  tenant?: string;
  user?: string;
  /** Seconds from now; negative for an expired one. */
  ttl_seconds?: number;
  /** Additional claims, or other values for the usual ones. */
  claims?: Record<string, unknown>;
}

/** A running dev bus: its addresses, its tokens, its log. */
export interface TestBus extends AsyncDisposable {
  readonly url: string;
  /** `http://host:port` of the client listener. */
  readonly http_url: string;
  readonly ops_url: string;
  readonly admin_url: string;
  /** The token that the bus printed: role user, tenant default. */
  readonly token: string;
  tokenFor(options?: TokenOptions): Promise<string>;
  /** What the bus has written to stderr so far. */
  log(): string;
  /** Ends the process with a signal and waits for it. */
  stop(signal?: Deno.Signal): Promise<Deno.CommandStatus>;
}

/** The bus's addresses and tokens, from its ready line and its development key. */
export function placeOf(
  { url, ops_url, admin_url, token }: Pick<TestBus, "url" | "ops_url" | "admin_url" | "token">,
  key: { kid: string } & Record<string, unknown>,
): Pick<TestBus, "url" | "http_url" | "ops_url" | "admin_url" | "token" | "tokenFor"> {
  const http_url = new URL(url).origin.replace(/^ws/, "http");
  const tokenFor = (options?: TokenOptions) => makeToken(key, options);
  return { url, http_url, ops_url, admin_url, token, tokenFor };
}

/** A token of the development key `key`, as `arq auth gen` makes it. */
async function makeToken(
  key: { kid: string } & Record<string, unknown>,
  options: TokenOptions = {},
): Promise<string> {
  const { role = "user", tenant = "default", user = "tester", ttl_seconds = 3_600 } = options;
  const now_seconds = Math.floor(Date.now() / 1_000);
  return await new SignJWT({
    iss: "arqon-dev",
    aud: "arqon",
    sub: user,
    tenant_id: tenant,
    role,
    exp: now_seconds + ttl_seconds,
    ...options.claims,
  }).setProtectedHeader({ alg: "RS256", kid: key.kid }).sign(await importJWK(key, "RS256"));
}
