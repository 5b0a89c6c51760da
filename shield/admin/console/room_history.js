// The history of a durable room, newest first, page by page, read only on demand because the Shield logs
// each reading.
import { segment } from "./api.js";
import { el, setText } from "./element.js";
import { count, plural } from "./format.js";
import { messageRow } from "./message_row.js";
import { fullCard } from "./page.js";

const PAGE_MESSAGES = 50;

export function createHistoryCard({ api, signal }, { tenant_id, room_id }) {
  const path = `/v1/rooms/${segment(tenant_id)}/${segment(room_id)}/messages`;
  const list = el("ol.messages");
  const box = el(
    "div.kept",
    { role: "region", "aria-label": `History of ${room_id}`, tabindex: 0 },
    [list],
  );
  const status = el("p.hint", { role: "status" }, "Not read yet.");
  const older = el("button", { onclick: () => read(oldest) }, "Older");
  const newest = el("button", { onclick: () => read(0) }, "Read history");
  const foot = el("div.pager", { hidden: true }, older);
  /** Offset of the last row; 0 without rows. */
  let oldest = 0;

  async function read(before) {
    for (const button of [older, newest]) button.setAttribute("aria-disabled", "true");
    setText(status, "Reading…");
    try {
      const query = { reverse: true, limit: PAGE_MESSAGES, before: before || undefined };
      const { messages, more } = await api.get(path, query, signal);
      if (before === 0) {
        list.replaceChildren();
        box.scrollTop = 0;
      }
      list.append(...messages.map((one) => messageRow(one, `#${count(one.offset)}`, tenant_id)));
      oldest = messages.at(-1)?.offset ?? oldest;
      const shown = plural(list.children.length, "message");
      setText(status, more ? `The newest ${shown}.` : `${shown}: all that the log has.`);
      setText(newest, "Newest");
      foot.hidden = !more;
    } catch (error) {
      if (!signal.aborted) setText(status, error.message);
    } finally {
      for (const button of [older, newest]) button.setAttribute("aria-disabled", "false");
    }
  }

  return fullCard("History", [status, newest], [box, foot]);
}
