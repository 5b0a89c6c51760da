/**
 * W3C trace ids for messages whose program has none. All of it is random: samplers decide by a part
 * of it, and no two clients may make the same.
 */

const ID_BYTES = 16;
/** Asking the system for random bytes costs more than the bytes: they are taken for many ids at once. */
const POOL_IDS = 64;
const pool = new Uint8Array(ID_BYTES * POOL_IDS);
let used = pool.length;

const HEX: readonly string[] = Array.from(
  { length: 256 },
  (_, byte) => byte.toString(16).padStart(2, "0"),
);

/** 32 lowercase hex digits; all zero, which is no trace, as seldom as two that are the same. */
export function newTraceId(): string {
  if (used === pool.length) {
    crypto.getRandomValues(pool);
    used = 0;
  }
  let id = "";
  for (const end = used + ID_BYTES; used < end; used++) id += HEX[pool[used]!];
  return id;
}
