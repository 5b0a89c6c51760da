/** Members of rooms as plain data: who is where, and which life of which Shield says so. */

/**
 * One life of one Shield process. Only it makes birth marks of its own; of two lives of one node the
 * higher incarnation is the younger.
 */
export interface Writer {
  readonly node_id: string;
  /** Unix ms of the start, or higher when that was taken. */
  readonly incarnation: number;
}

/** One connection in one room, as its Shield announced it. Never changed in place. */
export interface Entry {
  /** The writer's counter at the moment of this announcement: with the writer, the birth mark. */
  readonly counter: number;
  readonly tenant_id: string;
  readonly room_id: string;
  readonly connection_id: string;
  readonly user_id: string;
  /** Issuer of the user's token: a user is (issuer, subject). */
  readonly issuer: string;
  /** JSON text of at most `[limits] member_meta_bytes`; "" when the connection gave none. */
  readonly meta: string;
  /** Unix ms of the join; an update keeps it. */
  readonly joined_ms: number;
  /** Unix ms, the writer's clock, of this announcement. */
  readonly changed_ms: number;
}

/** An entry and whose it is. */
export interface WrittenEntry {
  readonly writer: Writer;
  readonly entry: Entry;
}
