/**
 * Keeps a `<textarea>` and a Yjs text equal. Typing becomes the smallest change, and a change of others moves the
 * cursor as the user expects. For rich editors Yjs has its own bindings.
 */
import type * as Y from "yjs";

/** The removed and the inserted text at one place. */
export interface Change {
  readonly at: number;
  readonly deleted: number;
  readonly inserted: string;
}

/** The one change from `before` to `after`. `cursor` is the end of the change; it decides between equal changes. */
export function changeOf(before: string, after: string, cursor: number): Change {
  const tail_most = Math.min(before.length, after.length);
  let tail = 0;
  const tail_limit = Math.min(tail_most, after.length - cursor);
  while (tail < tail_limit && before.at(-1 - tail) === after.at(-1 - tail)) tail += 1;
  let at = 0;
  const head_limit = tail_most - tail;
  while (at < head_limit && before[at] === after[at]) at += 1;
  return { at, deleted: before.length - tail - at, inserted: after.slice(at, after.length - tail) };
}

/** The cursor after a change of others. Text that is inserted exactly at the cursor goes after it. */
export function moved(cursor: number, delta: Y.YTextEvent["delta"]): number {
  let at = 0;
  let now = cursor;
  for (const { retain = 0, delete: deleted = 0, insert = "" } of delta) {
    at += retain;
    if (at < now) now -= Math.min(deleted, now - at);
    if (typeof insert !== "string") continue;
    if (at < now) now += insert.length;
    at += insert.length;
  }
  return now;
}

/** Binds them; returns how to part them again. */
export function bindTextarea(area: HTMLTextAreaElement, text: Y.Text): () => void {
  const doc = text.doc as Y.Doc;
  const typed = () => {
    const { at, deleted, inserted } = changeOf(text.toString(), area.value, area.selectionEnd);
    doc.transact(() => {
      if (deleted > 0) text.delete(at, deleted);
      if (inserted !== "") text.insert(at, inserted);
    }, area);
  };
  const changed = (event: Y.YTextEvent) => {
    if (event.transaction.origin === area) return;
    const { selectionStart, selectionEnd, selectionDirection } = area;
    area.value = text.toString();
    area.setSelectionRange(
      moved(selectionStart, event.delta),
      moved(selectionEnd, event.delta),
      selectionDirection,
    );
  };
  area.value = text.toString();
  area.addEventListener("input", typed);
  text.observe(changed);
  return () => {
    area.removeEventListener("input", typed);
    text.unobserve(changed);
  };
}
