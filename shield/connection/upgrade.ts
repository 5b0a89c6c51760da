/**
 * From an authenticated upgrade request to an open connection: the handshake and its subprotocol. `entrance.ts` admits
 * clients; `socket/` provides sockets.
 */
import { ArqonError } from "@arqon/proto";
import { hasItem, isToken } from "../../shared/http1/header_list.ts";
import { offeredSubprotocols } from "../auth/token.ts";
import type { Client } from "../message/caller.ts";
import type { SocketServer } from "../socket/client_socket.ts";
import { originalOf } from "../socket/light_copy.ts";
import { enter, type EntranceContext, type Shared, sharedBy } from "./entrance.ts";

/** The dependencies of `createUpgrade`. */
export interface UpgradeContext extends EntranceContext {
  readonly socket_server: SocketServer;
}

const BINARY = "arqon.v1";
const TEXT = "arqon.v1.json";

/**
 * Upgrades a request. Resolves with the 101 response, and the rest happens in events; or rejects with a
 * refusal, which is an HTTP status.
 */
export type Upgrade = (request: Request, client: Client) => Promise<Response>;

/** Makes the upgrades of one process. */
export function createUpgrade(context: UpgradeContext): Upgrade {
  const shared = sharedBy(context);
  return (request, client) => upgrade(context, shared, request, client);
}

async function upgrade(
  context: UpgradeContext,
  shared: Shared,
  request: Request,
  client: Client,
): Promise<Response> {
  if (!hasItem(request.headers.get("upgrade"), "websocket")) {
    throw new ArqonError("not-a-websocket", "there is no Upgrade: websocket");
  }
  const protocol = chooseSubprotocol(offeredSubprotocols(request));
  const text = protocol === TEXT;
  const open = () => context.socket_server.upgrade(originalOf(request), protocol);
  try {
    return (await enter(context, shared, { request, client, text, open })).entered.response;
  } catch (cause) {
    if (cause instanceof ArqonError) throw cause;
    throw new ArqonError("not-a-websocket", "the handshake did not complete", { cause });
  }
}

/** The first offered subprotocol that we speak. A client that offers none gets `arqon.v1`, unconfirmed. */
function chooseSubprotocol(offered: string[]): string | undefined {
  if (offered.length === 0) return undefined;
  const odd = offered.find((item) => !isToken(item));
  if (odd !== undefined) {
    const detail = `${shown(odd)} is not a token: items have no quotes or spaces`;
    throw new ArqonError("unsupported-subprotocol", detail);
  }
  const chosen = offered.find((item) => item === BINARY || item === TEXT);
  if (chosen !== undefined) return chosen;
  const detail = `${shown(offered.join(", "))}; expected ${BINARY} or ${TEXT}`;
  throw new ArqonError("unsupported-subprotocol", detail);
}

const shown = (text: string): string => JSON.stringify(text.slice(0, 100));
