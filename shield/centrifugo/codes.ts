/**
 * Centrifugo's numbers for what the bus says: errors of replies, codes of disconnects and of unsubscribes. Its clients
 * read them to know whether they come again. Pure; docs/centrifugo.md has the same table.
 */
import { isReason, ruleOf } from "@arqon/proto";
import type { ArqonError, Reason } from "@arqon/proto";

/** Errors of replies. */
export const ERROR = {
  internal: 100,
  unauthorized: 101,
  unknown_channel: 102,
  permission_denied: 103,
  method_not_found: 104,
  already_subscribed: 105,
  limit_exceeded: 106,
  bad_request: 107,
  not_available: 108,
  token_expired: 109,
  too_many_requests: 111,
  unrecoverable_position: 112,
} as const;

/** HTTP's statuses of errors, for backends that ask for them; others are 400. */
export const STATUS: Readonly<Record<number, number>> = {
  [ERROR.internal]: 500,
  [ERROR.unknown_channel]: 404,
  [ERROR.permission_denied]: 403,
  [ERROR.method_not_found]: 404,
  [ERROR.too_many_requests]: 429,
  [ERROR.unrecoverable_position]: 416,
};

/** Reasons that have a number of their own; the others have that of their code. */
const ERROR_OF: { readonly [R in Reason]?: number } = {
  "token-expired": ERROR.token_expired,
  "not-durable": ERROR.not_available,
  "presence-disabled": ERROR.not_available,
  "invalid-command": ERROR.method_not_found,
  "too-many-rooms": ERROR.limit_exceeded,
  "too-many-filters": ERROR.limit_exceeded,
  "member-limit": ERROR.limit_exceeded,
  "room-limit": ERROR.limit_exceeded,
  "room-bytes-limit": ERROR.limit_exceeded,
  "tenant-quota": ERROR.limit_exceeded,
  "budget-exhausted": ERROR.limit_exceeded,
};

const ERROR_OF_CODE: Readonly<Record<number, number>> = {
  400: ERROR.bad_request,
  401: ERROR.unauthorized,
  403: ERROR.permission_denied,
  404: ERROR.unknown_channel,
  409: ERROR.bad_request,
  413: ERROR.limit_exceeded,
  429: ERROR.too_many_requests,
};

/** An error as a client gets it. */
export interface SaidError {
  readonly code: number;
  readonly message: string;
  /** The client may ask the same again. */
  readonly temporary?: boolean;
}

/** What tokens made for Centrifugo lack here, and how a move goes. */
const FOREIGN = /^(?:token-(?!expired|revoked)|refresh-refused$)/;
const TOKENS_PAGE = "docs/moving_centrifugo.md#tokens";

/** A refusal as a client gets it. */
export function saidError(
  { code, reason, message }: {
    readonly code: number;
    readonly reason?: string;
    readonly message?: string;
  },
): SaidError {
  const known = reason !== undefined && isReason(reason) ? reason : undefined;
  const number = (known && ERROR_OF[known]) ?? ERROR_OF_CODE[code] ?? ERROR.internal;
  const page = FOREIGN.test(reason ?? "") ? ` (${TOKENS_PAGE})` : "";
  const client = known === undefined ? "never-retry" : ruleOf(known).client;
  const temporary = client === "back-off" || client === "other-node" ? { temporary: true } : {};
  return { code: number, message: `${message || reason || ""}${page}`, ...temporary };
}

/** A refusal in Centrifugo's own words. */
export class Refusal extends Error {
  readonly said: SaidError;

  constructor(code: number, message: string) {
    super(message);
    this.said = { code, message };
  }
}

/** Codes of disconnects: below 3500 a client comes again, from there on it does not. */
export const DISCONNECT = {
  /** Nothing is said to a WebSocket. */
  closed: 3000,
  shutdown: 3001,
  internal: 3004,
  expired: 3005,
  slow: 3008,
  insufficient_state: 3010,
  no_pong: 3012,
  too_many_requests: 3013,
  invalid_token: 3500,
  bad_request: 3501,
  stale: 3502,
  forced: 3503,
  permission_denied: 3507,
  too_many_errors: 3509,
  too_big: 1009,
} as const;

/** Whether a client that is disconnected with this code comes again. */
export const comesAgain = (code: number): boolean => code % 1_000 < 500;

/** Codes of unsubscribes: from 2500 on a client subscribes again. */
export const UNSUBSCRIBE = { server: 2000, insufficient_state: 2500, expired: 2501 } as const;

/** Close codes of the bus by the close's reason, then by the code. */
const DISCONNECT_OF: Readonly<Record<string, number>> = {
  "token-expired": DISCONNECT.expired,
  disconnected: DISCONNECT.forced,
  "slow-consumer": DISCONNECT.slow,
  1001: DISCONNECT.shutdown,
  1008: DISCONNECT.too_many_errors,
  1012: DISCONNECT.shutdown,
  4401: DISCONNECT.invalid_token,
  4403: DISCONNECT.permission_denied,
  4408: DISCONNECT.no_pong,
  4413: DISCONNECT.too_big,
  4429: DISCONNECT.too_many_requests,
};

/** The disconnect for a close of the bus. */
export const disconnectOf = (code: number, reason: string): number =>
  DISCONNECT_OF[reason] ?? DISCONNECT_OF[code] ?? code;

/** The disconnect of a client that is not let in. */
export function disconnectFor({ code, reason }: ArqonError): number {
  if (reason === "draining") return DISCONNECT.shutdown;
  if (code === 401) return DISCONNECT.invalid_token;
  if (code === 403) return DISCONNECT.permission_denied;
  if (code === 429) return DISCONNECT.too_many_requests;
  return code < 500 ? DISCONNECT.bad_request : DISCONNECT.internal;
}
