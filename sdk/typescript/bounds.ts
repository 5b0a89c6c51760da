/**
 * Bounds and waits of the client that no option changes. In a file without imports, from which a
 * bundler puts the numbers where they are used.
 */

/** A problem body is a few hundred bytes; more is not one. */
export const BODY_BYTES_MAX = 65_536;
/** A wait that can be meant; a longer one than this is taken for a mistake. */
export const WAIT_MS_MAX = 600_000;
/** A Shield may spread its clients over at most this; more is taken for a mistake. */
export const SPREAD_MS_MAX = 600_000;
/** How long an orderly close waits for the peer, in ms. */
export const CLOSE_TIMEOUT_MS = 2_000;
/** How long the answers to what was sent before are awaited, in ms; then only their rooms wait on. */
export const SETTLE_MS = 2_000;
/** In how many ms every room must stand on the next session; else that is no better than the old one. */
export const BEGIN_MS = 5_000;
/** For the servers of a NATS cluster to hear of the subscriptions of the next session, in ms. */
export const LINGER_MS = 200;
/** How long the answers to the renewals of locks are awaited, in ms. */
export const RENEW_MS = 2_000;
/** A longer window is taken for a mistake. */
export const WINDOW_MS_MAX = 600_000;
/** A program that waits for answers is looked at this often, in ms. */
export const POLL_MS = 5;
/** Longer than the longest time that a Shield gathers changes of a room before it tells them (1,000 ms). */
export const HOLD_MS = 2_000;
/** What a message costs besides its data (headers, strings, the frame it is a part of): measured. */
export const OVERHEAD_BYTES = 2_048;
/** Wait before the first repeat after a 503 when the Shield names none; then doubled up to the other. */
export const RETRY_MS = 250;
/** See `RETRY_MS`. */
export const RETRY_MAX_MS = 2_000;
/**
 * While the client moves: messages of a room that may be held, and their bytes; more: all are dropped and
 * the loop gets a GAP.
 */
export const HELD_MAX = 8_192;
/** See `HELD_MAX`. */
export const HELD_BYTES_MAX = 33_554_432;
/** Messages of the old connection that are remembered; more: the oldest are forgotten, and may repeat. */
export const AHEAD_MAX = 65_536;
/** No attempt is put off for longer than this, in ms: browsers err about networks. */
export const OFFLINE_MS_MAX = 30_000;
/** Own messages of a room with `no_echo` that may still come back by a recovery. */
export const OWN_MAX = 4_096;
/** A signer may take this part of a request's time: what waits for it has the rest. */
export const SIGNER_SHARE = 0.5;
/** Above this the socket counts as full: what is handed over cannot be taken back. */
export const UNSENT_BYTES_MAX = 1_048_576;
/** Of `arqon.v1`. */
export const PROTOCOL_VERSION = 1;
/** How long the peer may take to answer after the device has slept, in ms. */
export const PROBE_MS = 3_000;
/** The check after a refusal has at least this long, however short the handshake may be. */
export const CHECK_TIMEOUT_MS = 5_000;
/** A session that lived this long was a good one: the backoff starts anew after it. */
export const GOOD_SESSION_MS = 5_000;
/** New tokens that may be refused in a row before the connection gives up. */
export const REFUSALS_MAX = 5;
/** Changes of one room's metadata that may wait. */
export const UPDATES_MAX = 256;
/** A token that ends within this is not worth a handshake. */
export const MARGIN_MS = 2_000;
/** A refusal's text is shown to people and logged: no more than this. */
export const MESSAGE_CHARS_MAX = 1_024;
