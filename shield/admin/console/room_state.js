// The state of a room: its keys with their versions, and a value when somebody asks for it.
import { action } from "./columns.js";
import { segment } from "./api.js";
import { el, setText } from "./element.js";
import { bytes, count, digits, plural, textOf } from "./format.js";
import { createTable } from "./table.js";

const VALUE_UNITS = 100_000;

const columns = (show) => [
  {
    id: "key",
    label: "Key",
    wide: true,
    value: ({ key }) => key,
    cell: ({ key }) => ({ text: key, mono: true }),
  },
  {
    id: "version",
    label: "Version",
    numeric: true,
    about: "Of the room when the key was last written; older ones are not remembered",
    value: ({ version }) => version,
    cell: ({ version }) => ({ text: digits(version), dim: version === undefined }),
  },
  {
    id: "size",
    label: "Value",
    numeric: true,
    value: ({ size_bytes }) => size_bytes,
    cell: ({ size_bytes }) => bytes(size_bytes),
  },
  action(
    "show",
    "Show the value",
    "Show",
    ({ key }) => `Show the value of ${key}`,
    ({ key }) => show(key),
  ),
];

/** `{element, load}`: the card of one room's state. */
export function createStateCard({ api, signal }, { tenant_id, room_id }) {
  const path = `/v1/rooms/${segment(tenant_id)}/${segment(room_id)}/state`;
  const status = el("p", { class: "hint", role: "status" }, "Reading…");
  const name = el("h3");
  const value = el("pre", { tabindex: 0 });
  const box = el("section", { class: "value", "aria-label": "Value", hidden: true }, name, value);
  const table = createTable({
    caption: "State",
    columns: columns(show),
    key: ({ key }) => key,
    sort: { id: "key", direction: "ascending" },
    empty: "This room has no state.",
  });

  async function show(key) {
    try {
      const answer = await api.get(path, { key }, signal);
      setText(name, `${key}, at version ${digits(answer.version)} of the room`);
      setText(value, textOf(JSON.stringify(answer.value, null, 2), VALUE_UNITS));
      box.hidden = false;
      box.scrollIntoView({ block: "nearest" });
    } catch (error) {
      if (!signal.aborted) setText(status, error.message);
    }
  }

  async function load() {
    try {
      const state = await api.get(path, {}, signal);
      const cut = state.truncated ? `, the first ${count(state.keys.length)} are here` : "";
      const all = `${plural(state.key_count, "key")}, ${bytes(state.size_bytes)}${cut}`;
      setText(status, state.version === 0 ? "" : `Version ${digits(state.version)}: ${all}.`);
      table.show(state.keys);
    } catch (error) {
      if (!signal.aborted) setText(status, error.message);
    }
  }

  const element = el(
    "section",
    { class: "card flush", "aria-label": "State" },
    el("div", { class: "card-head" }, el("h2", {}, "State"), status),
    table.element,
    box,
  );
  return { element, load };
}
