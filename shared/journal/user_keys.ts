/**
 * The encryption keys of the journal: one for each user of a tenant, so that deleting the key erases the user. Others
 * store them.
 */

/** A key to write with. */
export interface UserKey {
  /**
   * The id of the key in blocks, 1 to 64 bytes. It reveals nothing about the user, and a key made after an erasure has
   * another id.
   */
  readonly id: Uint8Array;
  /** 32 random bytes. */
  readonly key: Uint8Array;
}

/** Replaces a user's key if there was no room for one: the user's section is not written. */
export const NO_KEY: UserKey = { id: Uint8Array.of(0), key: new Uint8Array(32) };

/** Whether a key id in a block is that of `NO_KEY`. */
export const isNoKey = (id: Uint8Array): boolean => id.length === 1 && id[0] === 0;

/** The keys of all users, for writers and readers. */
export interface UserKeys {
  /**
   * The keys of users, in order; missing ones are made. They encrypt records since `since_ms` (monotonic ms; absent:
   * now): a user erased after that gets a key that is not stored. `NO_KEY` if there is no room for another one. Rejects
   * with `spine-unavailable` while keys are unavailable.
   */
  forWriting(
    tenant_id: string,
    users: readonly string[],
    since_ms?: number,
  ): Promise<readonly UserKey[]>;
  /**
   * The keys of these ids, in order; undefined for an erased one. Rejects with `spine-unavailable` while that cannot be
   * determined.
   */
  forReading(
    tenant_id: string,
    ids: readonly Uint8Array[],
  ): Promise<readonly (Uint8Array | undefined)[]>;
}
