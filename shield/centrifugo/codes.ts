/**
 * Centrifugo's codes for errors, disconnects and unsubscribes of the bus. Clients decide by the code whether they
 * reconnect. Pure; docs/centrifugo.md has the same table.
 */
import { isReason, ruleOf } from "@arqon/proto";
import type { ArqonError, Reason } from "@arqon/proto";

/** Error codes of replies. */
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

/** HTTP statuses of errors, for backends that ask for them; any other error is 400. */
export const STATUS: Readonly<Record<number, number>> = {
  [ERROR.internal]: 500,
  [ERROR.unknown_channel]: 404,
  [ERROR.permission_denied]: 403,
  [ERROR.method_not_found]: 404,
  [ERROR.too_many_requests]: 429,
  [ERROR.unrecoverable_position]: 416,
};

/** Reasons with an error code of their own. The others use `ERROR_OF_CODE`. */
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
  // A policy may choose any code.
  "policy-rejected": ERROR.permission_denied,
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

/** An error as a client receives it. */
export interface ClientError {
  readonly code: number;
  readonly message: string;
  /** The client may retry. */
  readonly temporary?: boolean;
}

/** Reasons why the bus refuses Centrifugo's tokens. The message then names the page about the move. */
const FOREIGN = /^(?:token-(?!expired|revoked)|refresh-refused$)/;

/** Translates a refusal of the bus into Centrifugo's error. */
export function clientError(
  { code, reason, message }: {
    readonly code: number;
    readonly reason?: string;
    readonly message?: string;
  },
): ClientError {
  const known = reason !== undefined && isReason(reason) ? reason : undefined;
  const number = (known && ERROR_OF[known]) ?? ERROR_OF_CODE[code] ?? ERROR.internal;
  const page = FOREIGN.test(reason ?? "") ? " (docs/moving_centrifugo.md#tokens)" : "";
  const client = known === undefined ? "never-retry" : ruleOf(known).client;
  const temporary = client === "back-off" || client === "other-node" ? { temporary: true } : {};
  return { code: number, message: `${message || reason || ""}${page}`, ...temporary };
}

/** A refusal with an error code of Centrifugo. */
export class Refusal extends Error {
  readonly error: ClientError;

  constructor(code: number, message: string) {
    super(message);
    this.error = { code, message };
  }
}

/** Codes of disconnects. A client reconnects after 3000 to 3499, and does not after 3500 to 3999. */
export const DISCONNECT = {
  /** A WebSocket closes with 1000 in its place. */
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

/** Whether a client reconnects after a disconnect with this code. */
export const comesAgain = (code: number): boolean => code % 1_000 < 500;

/** Codes of unsubscribes. From 2500 on a client subscribes again. */
export const UNSUBSCRIBE = { server: 2000, insufficient_state: 2500, expired: 2501 } as const;

/** Disconnects by the reason or the code of the bus's close. The reason has precedence. */
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

/** The disconnect code for a close of the bus. */
export const disconnectOf = (code: number, reason: string): number =>
  DISCONNECT_OF[reason] ?? DISCONNECT_OF[code] ?? code;

/** The disconnect code for a client that is not admitted. */
export function disconnectFor({ reason }: ArqonError): number {
  const { code } = ruleOf(reason);
  if (reason === "draining") return DISCONNECT.shutdown;
  if (code === 401) return DISCONNECT.invalid_token;
  if (code === 403) return DISCONNECT.permission_denied;
  if (code === 429) return DISCONNECT.too_many_requests;
  return code < 500 ? DISCONNECT.bad_request : DISCONNECT.internal;
}
