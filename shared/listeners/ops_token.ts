/**
 * The token of the ops listener, if `[ops] token_file` is set. /metrics and the details of readiness then need the
 * token. A probe cannot send one, so liveness and readiness stay open to everybody. `ops.ts` has the rest of ops.
 */
import { timingSafeEqual } from "node:crypto";
import { ArqonError } from "@arqon/proto";
import type { Config } from "../config/schema.ts";
import { showsToken } from "../http1/handled_request.ts";
import type { Logger } from "../logs/log.ts";
import { problemResponse } from "../problem.ts";
import { type ReadFile, readSecret, RenewedSecret, tokenIn } from "../process/secret_file.ts";

type Handler = (request: Request) => Promise<Response>;

/** Returns the token in its file now. */
export type OpsToken = () => string;

const HEALTH = /^\/health\/(?:live|ready)$/;
/** Longest header that is compared; no token is longer. */
const HEADER_UNITS_MAX = 65_536;

/** Reads the token's file at once; undefined if none is configured. Throws a ConfigError that names the key. */
export function openOpsToken(
  { token_file }: Config["ops"],
  read: ReadFile,
  log: Logger,
): OpsToken | undefined {
  if (token_file === undefined) return undefined;
  const file = { key: "ops.token_file", path: token_file };
  const secret = new RenewedSecret(() => readSecret(read, file, tokenIn), log);
  return () => secret.current();
}

/** Whether the request has the token. */
function shows(request: Request, token: string): boolean {
  const header = request.headers.get("authorization");
  if (header === null || header.length > HEADER_UNITS_MAX) return false;
  const [, given = ""] = /^Bearer +(\S+) *$/i.exec(header) ?? [];
  const encoder = new TextEncoder();
  const one = encoder.encode(given);
  const other = encoder.encode(token);
  return one.length === other.length && timingSafeEqual(one, other);
}

/**
 * The handler for requests with the token; without a configured token, for all. Never rejects if `handler` does not.
 */
export function withOpsToken(handler: Handler, token: OpsToken | undefined): Handler {
  if (token === undefined) return handler;
  return async (request) => {
    if (shows(request, token())) {
      showsToken(request);
      return await handler(request);
    }
    if (request.headers.has("authorization")) {
      return problemResponse(
        new ArqonError("token-signature", "it differs from the token of [ops] token_file"),
      );
    }
    if (!HEALTH.test(new URL(request.url).pathname)) {
      return problemResponse(new ArqonError("token-missing", "[ops] token_file requires one"));
    }
    return await withoutDetails(await handler(request));
  };
}

/** The readiness answer without its reasons. */
async function withoutDetails(response: Response): Promise<Response> {
  const { status, headers } = response;
  await response.body?.cancel();
  if (status !== 200 && status !== 503) return new Response(null, { status, headers });
  return Response.json({ status: status === 200 ? "ok" : "unavailable" }, {
    status,
    headers: { "cache-control": "no-store" },
  });
}
