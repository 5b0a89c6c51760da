/** Bounds and waits that no option changes. Without imports, so that bundlers inline them. */

/** Longest problem body that is read, in bytes: a real one has a few hundred. */
export const BODY_BYTES_MAX = 65_536;
/** Longest wait that a Shield may ask for, in ms; a longer one is taken for a mistake. */
export const WAIT_MS_MAX = 600_000;
/** Longest time over which a Shield may spread its clients, in ms. */
export const SPREAD_MS_MAX = 600_000;
/** How long an orderly close waits for the peer, in ms. */
export const CLOSE_TIMEOUT_MS = 2_000;
/** How long a move awaits answers, in ms; after that only their rooms wait on. */
export const SETTLE_MS = 2_000;
/** Within this every room must be subscribed on the next session, in ms, or the move ends. */
export const BEGIN_MS = 5_000;
/** How long the servers of a NATS cluster get to learn of new subscriptions, in ms. */
export const LINGER_MS = 200;
/** How long a move awaits the answers to the renewals of locks, in ms. */
export const RENEW_MS = 2_000;
/** Longest window for a move that a Shield may announce, in ms. */
export const WINDOW_MS_MAX = 600_000;
/** How often a program that waits for answers is looked at, in ms. */
export const POLL_MS = 5;
/** How long a member stays that the next list lacks, in ms: Shields gather changes for 1,000. */
export const HOLD_MS = 2_000;
/** What a message costs in memory besides its data: measured, in bytes. */
export const OVERHEAD_BYTES = 2_048;
/** The first wait after a 503 for which the Shield names none, in ms; later ones double. */
export const RETRY_MS = 250;
/** The longest such wait, in ms. */
export const RETRY_MAX_MS = 2_000;
/** Messages of one room that are held during a move; with more the loop gets a GAP instead. */
export const HELD_MAX = 8_192;
/** The bytes of those messages. */
export const HELD_BYTES_MAX = 33_554_432;
/** Messages of the old connection that are remembered during a move; older ones may repeat. */
export const AHEAD_MAX = 65_536;
/** Missed changes of state are asked for within this, in ms: many clients miss the same. */
export const REPAIR_SPREAD_MS = 1_000;
/** How long missed changes are awaited, in ms; then the later ones are delivered, behind a GAP. */
export const REPAIR_GIVE_UP_MS = 30_000;
/** How long a browser's word that there is no network puts off an attempt, in ms. */
export const OFFLINE_MS_MAX = 30_000;
/** Own messages of a room with `no_echo` that are known, as a recovery may bring them back. */
export const OWN_MAX = 4_096;
/** The part of a request's time that its signer may take. */
export const SIGNER_SHARE = 0.5;
/** Above so many unsent bytes a socket is full: nothing can be taken back from it. */
export const UNSENT_BYTES_MAX = 1_048_576;
/** The version of the protocol `arqon.v1`. */
export const PROTOCOL_VERSION = 1;
/** How long the peer may take to answer after the device has slept, in ms. */
export const PROBE_MS = 3_000;
/** The least time for the check after a refused upgrade, in ms. */
export const CHECK_TIMEOUT_MS = 5_000;
/** A session that lived this long was a good one, in ms: the backoff starts anew after it. */
export const GOOD_SESSION_MS = 5_000;
/** New tokens that may be refused in a row before the connection gives up. */
export const REFUSALS_MAX = 5;
/** Changes of one room's metadata that may wait. */
export const UPDATES_MAX = 256;
/** A token that ends within this time is not worth a handshake, in ms. */
export const MARGIN_MS = 2_000;
/** Longest text of a refusal that is kept for people and logs, in characters. */
export const MESSAGE_CHARS_MAX = 1_024;
