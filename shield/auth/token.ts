/**
 * Finds the token and the subprotocols of a request. Nothing is verified here (`authenticate.ts` does), and a token is
 * never in a log or an error.
 */

import { headerItems } from "../../shared/http1/header_list.ts";

/** The subprotocol in which browsers, which cannot set headers, send a token. */
const TOKEN_SUBPROTOCOL = "arqon.token.";

function items({ headers }: Request): string[] {
  return headerItems(headers.get("sec-websocket-protocol"));
}

/** The subprotocols that a request offers, in its order, without the token item. */
export function offeredSubprotocols(request: Request): string[] {
  return items(request).filter((item) => !item.startsWith(TOKEN_SUBPROTOCOL));
}

/**
 * The token of a request: `Authorization: Bearer`, otherwise the subprotocol item, otherwise `?access_token=` if the
 * config allows it, unverified: any text that fits a header. An empty one counts as none.
 */
export function tokenFrom(
  request: Request,
  options: { readonly query_token: boolean },
): string | undefined {
  const bearer = /^bearer +(.+)$/i.exec(request.headers.get("authorization") ?? "")?.[1]?.trim();
  if (bearer) return bearer;
  const item = items(request).find((candidate) => candidate.startsWith(TOKEN_SUBPROTOCOL));
  const fromItem = item?.slice(TOKEN_SUBPROTOCOL.length);
  if (fromItem) return fromItem;
  if (!options.query_token) return undefined;
  return new URL(request.url).searchParams.get("access_token") || undefined;
}
