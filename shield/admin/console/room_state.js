// The state of a room: its keys with their versions, and a value on demand.
import { segment } from "./api.js";
import { action, column } from "./columns.js";
import { el, setText } from "./element.js";
import { bytes, count, digits, plural, textOf } from "./format.js";
import { fullCard } from "./page.js";
import { Table } from "./table.js";

const VALUE_UNITS = 100_000;

const VERSION_ABOUT = "The room's version at the key's last write; unknown for older writes";

const columns = (show) => [
  column("key", "Key", "key", (text) => ({ text, mono: true }), { wide: true }),
  column("version", "Version", "version", (version) => ({
    text: digits(version),
    dim: version === undefined,
  }), { numeric: true, about: VERSION_ABOUT }),
  column("size", "Value", "size_bytes", bytes, { numeric: true }),
  action("show", "Show the value", "Show", ({ key }) => `Show the value of ${key}`, show),
];

/** `{element, load}`: the card of one room's state. */
export function createStateCard({ api, signal }, { tenant_id, room_id }) {
  const path = `/v1/rooms/${segment(tenant_id)}/${segment(room_id)}/state`;
  const status = el("p.hint", { role: "status" }, "Reading…");
  const name = el("h3");
  const value = el("pre", { tabindex: 0 });
  const box = el("section.value", { "aria-label": "Value", hidden: true }, name, value);
  const table = new Table({
    caption: "State",
    columns: columns(show),
    key: ({ key }) => key,
    sort: { id: "key", direction: "ascending" },
    empty: "This room has no state.",
  });

  async function show({ key }) {
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
      const cut = state.truncated ? `, the first ${count(state.keys.length)} are shown` : "";
      const all = `${plural(state.key_count, "key")}, ${bytes(state.size_bytes)}${cut}`;
      setText(status, state.version === 0 ? "" : `Version ${digits(state.version)}: ${all}.`);
      table.show(state.keys);
    } catch (error) {
      if (!signal.aborted) setText(status, error.message);
    }
  }

  const element = fullCard("State", [status], [table, box]);
  return { element, load };
}
