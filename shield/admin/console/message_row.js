// A message as an expandable row of a tail or a history. Users' data is shown as text.
import { el, setText } from "./element.js";
import { clock, moment, textOf } from "./format.js";
import { lifeOf } from "./life.js";

const SUMMARY_UNITS = 300;
const BODY_UNITS = 20_000;

const msOf = ({ ts }) => (typeof ts === "number" ? ts : Date.parse(ts));

/** A list item; `last` is its last column. With a tenant it links to the life of the message. */
export function messageRow(message, last, tenant) {
  const at_ms = msOf(message);
  const { room, offset, message_id, trace_id: trace } = message;
  const life = tenant === undefined
    ? undefined
    : lifeOf(tenant, { room, offset, message_id, trace });
  const body = el("pre");
  const details = el("details", {
    ontoggle: () => {
      // Created on opening: most of 500 rows are never opened.
      if (details.open) setText(body, textOf(message, BODY_UNITS, 2));
    },
  }, [
    el("summary", [
      el("span.numeric", { title: moment(at_ms) }, Number.isFinite(at_ms) ? clock(at_ms) : ""),
      el("span.badge", message.type ?? "event"),
      el("span.dim", { title: message.sender }, message.sender ?? ""),
      el("span.mono", textOf(message.data, SUMMARY_UNITS)),
      el("span.numeric.dim", last),
    ]),
    life !== undefined && el("p", el("a", { href: life }, "Life of this message")),
    body,
  ]);
  return el("li", details);
}
