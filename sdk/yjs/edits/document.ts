/**
 * What is asked of a Yjs document beside editing it: a copy without what was deleted, whether two are the
 * same, what one has and another has not. Pure but for the document that is given.
 */
import * as Y from "yjs";

/** A document of these updates, in any order. */
export function documentOf(updates: readonly Uint8Array[], gc = true): Y.Doc {
  const doc = new Y.Doc({ gc });
  if (updates.length > 0) Y.applyUpdate(doc, Y.mergeUpdates([...updates]));
  return doc;
}

/** Whether both have the same content, to the deleted. */
export const isSame = (one: Y.Doc, other: Y.Doc): boolean =>
  Y.equalSnapshots(Y.snapshot(one), Y.snapshot(other));

/** Whether something is missing that its content builds upon: then it is not the whole document. */
export const hasHoles = ({ store }: Y.Doc): boolean =>
  store.pendingStructs !== null || store.pendingDs !== null;

/** What `one` has and `other` has not; undefined when it has nothing more. */
export function missing(one: Y.Doc, other: Y.Doc): Uint8Array | undefined {
  return isSame(one, other) ? undefined : Y.encodeStateAsUpdate(one, Y.encodeStateVector(other));
}

/** The whole document, without the text of what was deleted, whatever an editor keeps for its undo. */
export function cleaned(doc: Y.Doc): Y.Doc {
  return documentOf([Y.encodeStateAsUpdate(doc)], doc.gc);
}

/**
 * The changes in these updates as one, in their present form: of what was written and deleted again only
 * the places are left, not the text.
 */
export function presentForm(doc: Y.Doc, updates: readonly Uint8Array[]): Uint8Array {
  const { from } = Y.parseUpdateMeta(Y.mergeUpdates([...updates]));
  const known = Y.decodeStateVector(Y.encodeStateVector(doc));
  for (const [client, clock] of from) known.set(client, clock);
  const copy = documentOf([Y.encodeStateAsUpdate(doc)]);
  return Y.encodeStateAsUpdate(copy, Y.encodeStateVector(known));
}
