/** Bounds and waits that no option changes. Without imports, so that bundlers inline them. */

/** Longest problem body that is read, in characters: typical ones have a few hundred. */
export const BODY_CHARS_MAX = 65_536;
/** Longest wait that a Shield may request, in ms; longer ones are ignored. */
export const WAIT_MS_MAX = 600_000;
/** Longest time over which a Shield may spread its clients, in ms. */
export const SPREAD_MS_MAX = 600_000;
/** How long an orderly close waits for the peer, in ms. */
export const CLOSE_TIMEOUT_MS = 2_000;
/** How long a move awaits answers, in ms; after that only the unanswered rooms wait. */
export const SETTLE_MS = 2_000;
/** How long the subscriptions on the next session may take, in ms, before the move is abandoned. */
export const BEGIN_MS = 5_000;
/** How long new subscriptions need to propagate in a NATS cluster, in ms. */
export const LINGER_MS = 200;
/** How long a move awaits the answers to the renewals of locks, in ms. */
export const RENEW_MS = 2_000;
/** Longest window for a move that a Shield may announce, in ms. */
export const WINDOW_MS_MAX = 600_000;
/** Poll interval while the program consumes stored messages, in ms. */
export const POLL_MS = 5;
/** How long a member missing in the next list is kept, in ms: Shields batch changes for 1,000. */
export const HOLD_MS = 2_000;
/** Memory overhead of a message besides its data: measured, in bytes. */
export const OVERHEAD_BYTES = 2_048;
/** The first wait after a 503 without a retry time, in ms; later ones double. */
export const RETRY_MS = 250;
/** The longest such wait, in ms. */
export const RETRY_MAX_MS = 2_000;
/** The most held messages of one room during a move; above, the loop gets a GAP instead. */
export const HELD_MAX = 8_192;
/** The bytes of those messages. */
export const HELD_BYTES_MAX = 33_554_432;
/** Remembered messages of the old connection during a move; older ones may be delivered twice. */
export const AHEAD_MAX = 65_536;
/** Missed changes of state are requested after a random time up to this, in ms: many clients miss the same. */
export const REPAIR_SPREAD_MS = 1_000;
/** How long missed changes are awaited, in ms; then the later ones are delivered after a GAP. */
export const REPAIR_GIVE_UP_MS = 30_000;
/** How long an attempt is delayed while the browser reports no network, in ms. */
export const OFFLINE_MS_MAX = 30_000;
/** Remembered own messages of a room with `no_echo`, because a recovery may return them. */
export const OWN_MAX = 4_096;
/** The part of a request's time that its signer may take. */
export const SIGNER_SHARE = 0.5;
/** Above this many unsent bytes a socket counts as full: sent data cannot be withdrawn. */
export const UNSENT_BYTES_MAX = 1_048_576;
/** The version of the protocol `arqon.v1`. */
export const PROTOCOL_VERSION = 1;
/** How long the peer may take to answer after the device has slept, in ms. */
export const PROBE_MS = 3_000;
/** The least time for the check after a refused upgrade, in ms. */
export const CHECK_TIMEOUT_MS = 5_000;
/** A session that lasted this long resets the back-off, in ms. */
export const GOOD_SESSION_MS = 5_000;
/** The most consecutive refused new tokens before the connection ends. */
export const REFUSALS_MAX = 5;
/** The most queued changes of one room's metadata. */
export const UPDATES_MAX = 256;
/** A token that expires within this time is not used for a handshake, in ms. */
export const MARGIN_MS = 2_000;
/** Longest text of a refusal that is kept for people and logs, in characters. */
export const MESSAGE_CHARS_MAX = 1_024;
