/**
 * Where a request carries its token and which subprotocols it offers. Nothing is verified here
 * (`authenticate.ts`), and a token never goes to a log or an error.
 */

import { headerItems } from "../../shared/http1/header_list.ts";

/** The subprotocol in which browsers, which cannot set headers, send a token. */
const TOKEN_SUBPROTOCOL = "arqon.token.";

/** Where a token was found; a query is the only one that ends up in access logs. */
export type TokenSource = "header" | "subprotocol" | "query";

/** A token as it came, unverified; it may be anything that fits a header. */
export interface PresentedToken {
  readonly token: string;
  readonly source: TokenSource;
}

function items({ headers }: Request): string[] {
  return headerItems(headers.get("sec-websocket-protocol"));
}

/** The subprotocols that a request offers, in its order, without the token item. */
export function offeredSubprotocols(request: Request): string[] {
  return items(request).filter((item) => !item.startsWith(TOKEN_SUBPROTOCOL));
}

/**
 * The token of a request: `Authorization: Bearer`, else the subprotocol item, else
 * `?access_token=` where the config allows it. An empty one counts as none.
 */
export function tokenFrom(
  request: Request,
  options: { readonly query_token: boolean },
): PresentedToken | undefined {
  const bearer = /^bearer +(.+)$/i.exec(request.headers.get("authorization") ?? "")?.[1]?.trim();
  if (bearer) return { token: bearer, source: "header" };
  const item = items(request).find((candidate) => candidate.startsWith(TOKEN_SUBPROTOCOL));
  const fromItem = item?.slice(TOKEN_SUBPROTOCOL.length);
  if (fromItem) return { token: fromItem, source: "subprotocol" };
  if (!options.query_token) return undefined;
  const fromQuery = new URL(request.url).searchParams.get("access_token");
  return fromQuery ? { token: fromQuery, source: "query" } : undefined;
}
