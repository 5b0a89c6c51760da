/**
 * One room's document in the bucket: read, written by compare-and-set, and told about. What every
 * reader of a document has to do with it is here; which commands change it is `room.ts`.
 */
import { ArqonError } from "@arqon/proto";
import type { KeyValue, KvKey } from "../../shared/spine/spine.ts";
import type { Announcer } from "./announcer.ts";
import type { RoomAddress } from "./command.ts";
import { emptyDocument } from "./document.ts";
import type { RoomDocument } from "./document.ts";
import type { Hearings } from "./hearings.ts";
import { decodeDocument, encodeDocument, settleDocument } from "./stored_document.ts";

/** A document and where it stands. */
export interface Stored {
  readonly document: RoomDocument;
  /** Of the bucket; 0: there is no document. */
  readonly revision: number;
}

/** A span of ownership: it ends whenever the set of live Brains changes. */
export interface Term {
  readonly number: number;
  /** Unix ms. */
  readonly started_ms: number;
}

/** What reading and writing needs. */
export interface StoreContext {
  readonly bucket: KeyValue;
  readonly announcer: Announcer;
  readonly hearings: Hearings;
  /** Unix ms. */
  readonly now: () => number;
  readonly term: () => Term;
  readonly isOwner: (at: RoomAddress) => boolean;
  /** Hears of every document that was read or written here; `undefined`: there is none. */
  readonly onSeen: (at: RoomAddress, document: RoomDocument | undefined) => void;
}

/** Events older than this are not published again: whoever missed them has read the document. */
const REPUBLISH_MS = 60_000;
/** How far the clocks of two Brains may be apart, and how long ago the earlier owner may have died. */
const TERM_SLACK_MS = 10_000;

/** Where a room's document stands in the bucket. */
export function roomKey({ tenant_id, room_id }: RoomAddress): KvKey {
  return [tenant_id, room_id];
}

/**
 * Publishes events that may be stored and unsaid: an owner that ended between write and publication
 * leaves them to the next one. Their message ids make a repetition harmless.
 */
function catchUp(at: RoomAddress, document: RoomDocument, context: StoreContext): void {
  const hearing = context.hearings.of(at);
  const { number, started_ms } = context.term();
  const first = hearing.term !== number && context.isOwner(at);
  if (!first && !hearing.doubt) return;
  const since_ms = context.now() - REPUBLISH_MS;
  const until_ms = hearing.doubt ? Infinity : started_ms + TERM_SLACK_MS;
  const unsaid = document.events.filter(({ at_ms }) => at_ms > since_ms && at_ms <= until_ms);
  const { epoch } = document;
  const said = unsaid.every((event) =>
    context.announcer.event(at, event, { epoch, revision: 0 }, "")
  );
  const newborn = document.created_ms > since_ms && document.created_ms <= until_ms;
  hearing.doubt = !said || (newborn && !context.announcer.created(at, document));
  if (first && !hearing.doubt) hearing.term = number;
}

/** Reads the document. Rejects with `spine-unavailable`, or `internal` for one that is damaged. */
export async function loadRoom(at: RoomAddress, context: StoreContext): Promise<Stored> {
  const entry = await context.bucket.get(roomKey(at));
  if (entry === undefined) {
    // What does not exist has nothing unsaid.
    const hearing = context.hearings.of(at);
    if (context.isOwner(at)) hearing.term = context.term().number;
    hearing.doubt = false;
    context.onSeen(at, undefined);
    return { document: emptyDocument(), revision: 0 };
  }
  const document = decodeDocument(entry.value, entry.revision);
  catchUp(at, document, context);
  context.onSeen(at, document);
  return { document, revision: entry.revision };
}

/**
 * Writes the document if `revision` is still the newest, 0: if there is none. Undefined when another
 * Brain was faster. Rejects with `spine-unavailable` when the outcome is unknown.
 */
export async function writeRoom(
  at: RoomAddress,
  document: RoomDocument,
  revision: number,
  context: StoreContext,
): Promise<Stored | undefined> {
  try {
    const written = await context.bucket.update(roomKey(at), encodeDocument(document), revision);
    const settled = settleDocument(document, written);
    context.onSeen(at, settled);
    return { document: settled, revision: written };
  } catch (error) {
    if (error instanceof ArqonError && error.reason === "version-conflict") return undefined;
    context.hearings.of(at).doubt = true;
    throw error;
  }
}
