// The past of a room with a reducer: a slider chooses an entry of its log, and the page shows the entry, its
// changes, and the room's values after it. The Brain replays the entries, only on demand.
import { segment } from "./api.js";
import { column } from "./columns.js";
import { el, replace, setText } from "./element.js";
import { bytes, count, moment, plural } from "./format.js";
import { fullCard } from "./page.js";
import { Table } from "./table.js";

const PAGE_VALUES = 200;

/** Bytes in the API's form: text, or base64; "–" without a value. */
function shown(value) {
  if (value === null || value === undefined) return "–";
  const { text, base64 = "", size_bytes } = value;
  const all = text ?? `base64 ${base64}`;
  const cut = size_bytes > 8_192 ? ` … (${bytes(size_bytes)})` : "";
  return `${all}${cut}`;
}

const keyColumn = column("key", "Key", ({ key }) => shown(key), (text) => ({ text, mono: true }));
const textColumn = (id, label) =>
  column(id, label, (row) => shown(row[id]), (text, row) => ({
    text,
    mono: true,
    dim: row[id] === null,
  }), { wide: true });

const VERDICTS = { applied: "applied", rejected: "rejected", fault: "failed" };

/** The caller of an entry, its request, and its outcome. */
function entryText(entry) {
  if (entry === null) return "Before the first entry.";
  const who = entry.timer === null ? `by ${entry.user_id || "–"}` : "by the room itself";
  const what = entry.timer === null
    ? `${entry.command} ${shown(entry.data)}`
    : `timer ${entry.timer || "–"}`;
  const verdict = VERDICTS[entry.verdict] ?? entry.verdict;
  const why = entry.code === 0 ? "" : ` with ${entry.code} ${entry.reason}`;
  const as = entry.repeats === null ? "" : `, as entry ${count(entry.repeats)} was`;
  const events = entry.events.length === 0 ? "" : `; ${plural(entry.events.length, "event")}: ` +
    entry.events.map(({ type }) => type).join(", ");
  return `Entry ${count(entry.offset)}, ${who}: ${what.trim()}; ${verdict}${why}${as}${events}.`;
}

function createTables() {
  const changes = new Table({
    caption: "Changed by this entry",
    columns: [keyColumn, textColumn("before", "Before"), textColumn("after", "After")],
    key: ({ key }) => shown(key),
    sort: { id: "key", direction: "ascending" },
    empty: "This entry changed no value.",
  });
  const values = new Table({
    caption: "Values after it",
    columns: [keyColumn, textColumn("value", "Value")],
    key: ({ key }) => shown(key),
    sort: { id: "key", direction: "ascending" },
    empty: "The room had no value at that time.",
  });
  return { changes, values };
}

export function createPastCard({ api, signal }, { tenant_id, room_id }) {
  const path = `/v1/rooms/${segment(tenant_id)}/${segment(room_id)}/past`;
  const status = el("p.hint", { role: "status" }, "Not read yet.");
  const entry = el("p");
  const { changes, values } = createTables();
  const slider = el("input", { type: "range", min: 0, max: 0, step: 1, oninput: () => ask() });
  const back = el("button", { onclick: () => step(-1) }, "Back");
  const on = el("button", { onclick: () => step(1) }, "Forward");
  const look = el("button", { onclick: () => read(undefined) }, "Look back");
  const box = el("div", { hidden: true }, [
    el("div.past", el("label", "After entry", slider), back, on),
    entry,
    changes,
    values,
  ]);
  /** The next entry to read, while another one is being read. */
  let wanted;
  let is_reading = false;

  const ask = () => void read(Number(slider.value));
  function step(by) {
    slider.value = String(Number(slider.value) + by);
    ask();
  }

  function show(past) {
    slider.max = String(past.last);
    if (wanted === undefined) slider.value = String(past.offset);
    setText(look, "Newest");
    const at = past.at_ms === 0 ? "" : `, ${moment(past.at_ms)}`;
    const cut = past.next === null ? "" : `, the first ${count(past.values.length)} are shown`;
    const kept = `${plural(past.keys, "value")}, ${bytes(past.state_bytes)}${cut}`;
    setText(
      status,
      `After entry ${count(past.offset)} of ${count(past.last)}${at}: ${kept}, ` +
        `${plural(past.timers, "timer")}.`,
    );
    replace(entry, entryText(past.entry));
    changes.show(past.changes);
    values.show(past.values);
    box.hidden = false;
  }

  async function read(offset) {
    wanted = { offset };
    if (is_reading) return;
    is_reading = true;
    // While the slider moves, only its last position is read.
    while (wanted !== undefined && !signal.aborted) {
      const query = { ...wanted, limit: PAGE_VALUES };
      wanted = undefined;
      try {
        show(await api.get(path, query, signal));
      } catch (error) {
        if (!signal.aborted) setText(status, error.message);
      }
    }
    is_reading = false;
  }

  return fullCard("Past", [status, look], [box]);
}
