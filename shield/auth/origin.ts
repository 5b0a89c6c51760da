/**
 * The browser `Origin` allow-list of `[server] allowed_origins`. Not CORS: the upgrade has no preflight, so this check
 * keeps a foreign page from using a visitor's token.
 */
import { ArqonError } from "@arqon/proto";

/** The table of the configuration with the list. The list is read at each use, as a reload may change it. */
export interface AllowedOrigins {
  readonly allowed_origins: readonly string[];
}

/**
 * Requests without an Origin are not browsers and pass. An entry matches exactly (scheme and host without regard to
 * case), or by prefix if it ends with `*`.
 */
export function isOriginAllowed(
  origin: string | null,
  { allowed_origins }: AllowedOrigins,
): boolean {
  if (origin === null) return true;
  const lower = origin.toLowerCase();
  return allowed_origins.some((entry) => {
    const pattern = entry.toLowerCase();
    return pattern.endsWith("*") ? lower.startsWith(pattern.slice(0, -1)) : lower === pattern;
  });
}

/** Throws `origin-not-allowed` (403); the origin is shown quoted, escaped and cut. */
export function requireOrigin(request: Request, allowed: AllowedOrigins): void {
  const origin = request.headers.get("origin");
  if (isOriginAllowed(origin, allowed)) return;
  throw new ArqonError("origin-not-allowed", JSON.stringify((origin ?? "").slice(0, 200)));
}
