/**
 * The keys by which the journal is closed: one for each user of a tenant, so that erasing a user is deleting a
 * key. Who keeps them where is another's business.
 */

/** A key to write with. */
export interface UserKey {
  /**
   * What a block names the key by, 1 to 64 bytes. It says nothing of the user, and is another one for a key
   * that is made after an erasure.
   */
  readonly id: Uint8Array;
  /** 32 random bytes. */
  readonly key: Uint8Array;
}

/** Instead of the key of a user for which there was no room: what it would close is not written at all. */
export const NO_KEY: UserKey = { id: Uint8Array.of(0), key: new Uint8Array(32) };

/** Whether an id in a block is that of no key. */
export const isNoKey = (id: Uint8Array): boolean => id.length === 1 && id[0] === 0;

/** The keys of all users, as writers and readers ask for them. */
export interface UserKeys {
  /**
   * The keys of users, in their order; those that are missing are made. What is closed with them was said since
   * `since_ms` (Unix ms; absent: now): who was erased after that gets a key that nobody keeps. `NO_KEY` where there
   * is no room for another one. Rejects with
   * `spine-unavailable` while they cannot be had.
   */
  forWriting(
    tenant_id: string,
    users: readonly string[],
    since_ms?: number,
  ): Promise<readonly UserKey[]>;
  /**
   * The keys of these ids, in their order; undefined for one that was erased. Rejects with
   * `spine-unavailable` while that cannot be determined.
   */
  forReading(
    tenant_id: string,
    ids: readonly Uint8Array[],
  ): Promise<readonly (Uint8Array | undefined)[]>;
}
