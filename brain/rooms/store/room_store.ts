/**
 * One room's document in the bucket: reads it, writes it by compare-and-set, and notifies observers. It has the common
 * duties of every reader of a document; `room.ts` executes commands.
 */
import { ArqonError } from "@arqon/proto";
import type { Env } from "../../../shared/env.ts";
import { isConflict } from "../../../shared/spine/contract/compare_and_set.ts";
import type { KeyValue, KvEntry, KvKey } from "../../../shared/spine/contract/spine.ts";
import type { Announcer } from "../room/announcer.ts";
import type { RoomAddress } from "../../cluster_view.ts";
import { emptyDocument } from "./document.ts";
import type { RoomDocument } from "./document.ts";
import { inLife } from "./life.ts";
import type { RoomLives } from "../lives/room_lives.ts";
import type { ChangePublisher } from "../lives/change_publisher.ts";
import { decodeDocument, encodeDocument, settleDocument } from "./stored_document.ts";
import type { TenantBytes } from "./tenant_bytes.ts";

/** A document and its revision. */
export interface Stored {
  readonly document: RoomDocument;
  /** The revision in the bucket; 0: no document. */
  readonly revision: number;
  /** Bytes of its stored form; 0: no document. */
  readonly size_bytes: number;
}

/** The dependencies of reads and writes. */
export interface StoreContext extends Pick<Env, "now"> {
  readonly bucket: KeyValue;
  /** The bytes of tenants' rooms in the bucket. */
  readonly bytes: Pick<TenantBytes, "take" | "add" | "refusal">;
  readonly lives: RoomLives;
  /** The first version of a room that is created at that time: above the versions of any earlier room. */
  readonly firstVersion: (now_ms: number) => number;
  readonly announcer: Announcer;
  readonly saying: ChangePublisher;
  readonly isOwner: (at: RoomAddress) => boolean;
  /** Called for every document that was read or written here; `undefined`: no document. */
  readonly onSeen: (at: RoomAddress, stored: Stored | undefined) => void;
}

/** The key of a room's document in the bucket. */
export function roomKey({ tenant_id, room_id }: RoomAddress): KvKey {
  return [tenant_id, room_id];
}

/** Reads the document. Rejects with `spine-unavailable`, or `internal` for a damaged one. */
export async function loadRoom(at: RoomAddress, context: StoreContext): Promise<Stored> {
  const { lives } = context;
  let entry: KvEntry | undefined;
  do {
    await lives.prove();
    entry = await context.bucket.get(roomKey(at));
    // A document read while the connection broke may come from an older copy.
  } while (!lives.is_proven);
  if (entry === undefined) {
    context.saying.readNothing(at);
    context.onSeen(at, undefined);
    const document = { ...emptyDocument(), life: lives.present };
    return { document, revision: 0, size_bytes: 0 };
  }
  const document = inLife(decodeDocument(entry.value, entry.revision), lives.present);
  context.saying.read(at, document, entry.age_ms);
  const stored = { document, revision: entry.revision, size_bytes: entry.value.length };
  context.onSeen(at, stored);
  return stored;
}

/**
 * Writes the document if `revision` is still the newest (0: if there is none). Undefined if another Brain was faster.
 * Rejects with `spine-unavailable` if the outcome is unknown. `value` is its stored form, if known. The caller counts
 * the bytes.
 */
export async function writeRoom(
  at: RoomAddress,
  document: RoomDocument,
  revision: number,
  context: StoreContext,
  value: Uint8Array = encodeDocument(document),
): Promise<Stored | undefined> {
  const { lives } = context;
  await lives.prove();
  // Derived from a document of another life: it must be read again.
  if (document.life?.id !== lives.present.id) return undefined;
  const highest = lives.revision;
  try {
    const written = await context.bucket.update(roomKey(at), value, revision);
    if (!lives.wrote(written, highest)) {
      throw new ArqonError(
        "spine-unavailable",
        "the stored rooms are an older copy; read them anew",
      );
    }
    const settled = settleDocument(document, written);
    const stored = { document: settled, revision: written, size_bytes: value.length };
    context.onSeen(at, stored);
    return stored;
  } catch (error) {
    if (isConflict(error)) return undefined;
    context.saying.unknown(at);
    throw error;
  }
}
