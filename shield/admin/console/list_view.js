// A view with one list: filters, a table, and messages for an empty, truncated or refused list. The
// filters are in the page's address, so that a reload and the back button keep them.
import { el, setText } from "./element.js";
import { clock, count } from "./format.js";
import { errorNotice, filterForm, pageHead, queried, silentNotice, slot } from "./page.js";
import { Table } from "./table.js";

/** The maximum of rows in one answer, as the API limits it. */
export const ROWS_MAX = 1_000;
/** The query of a route whose answers have a limit. */
export const MOST = { limit: ROWS_MAX };
/** The filter of every list: it searches the loaded rows. */
const FIND = { name: "find", label: "Find in these rows", placeholder: "any text" };

const cellText = (cell) =>
  String((typeof cell === "object" && cell !== null ? cell.text : cell) ?? "");

function found(rows, columns, text) {
  if (text === "") return rows;
  const wanted = text.toLowerCase();
  return rows.filter((row) =>
    columns.some((column) => cellText(column.cell(row)).toLowerCase().includes(wanted))
  );
}

function statusText({ rows, shown, total, truncated, at_ms }, [one, many], cut_to) {
  const all = total ?? rows;
  const amount = `${count(all)} ${all === 1 ? one : many}`;
  const cut = truncated ? `, the ${cut_to} ${count(rows)} are shown: narrow the filter` : "";
  const matched = shown < rows ? `, ${count(shown)} with the text` : "";
  return `${amount}${cut}${matched}. Read at ${clock(at_ms)}.`;
}

class ListView {
  #ctx;
  #options;
  #values;
  #answer = { rows: [] };
  /** Number of the latest load: an older one that overlaps it is ignored. */
  #run = 0;
  #trouble = slot();
  #status = el("p.hint", { role: "status" }, "Loading…");
  #refresh = el("button", { onclick: () => this.load() }, "Refresh");
  #table;
  #box;

  constructor(ctx, place, options) {
    this.#ctx = ctx;
    this.#options = options;
    const { title, fields = [], actions = [], above } = options;
    const filters = [...fields, { ...FIND, wide: fields.length > 0 }];
    this.#values = queried(filters, ctx.query);
    this.#table = new Table({
      ...options,
      caption: title,
      empty: "",
      onSort: ({ id }) => {
        // The server chooses the first rows of a truncated list.
        if (this.#answer.truncated && options.server_sort?.[id] !== undefined) this.load();
      },
    });
    const props = { class: "card flush", "aria-label": title, hidden: true };
    this.#box = el("section", props, this.#table);
    place.append(
      pageHead({ ...options, actions: [...actions, this.#refresh] }),
      el("div.stack", [
        above,
        filterForm(filters, this.#values, (next) => this.#change(next)),
        this.#trouble,
        el("div.listed", this.#status, this.#box),
      ]),
    );
    this.load();
  }

  /** Reads the list again and shows it. Never rejects. */
  async load() {
    const { signal } = this.#ctx;
    const run = ++this.#run;
    const isOver = () => signal.aborted || run !== this.#run;
    this.#refresh.setAttribute("aria-disabled", "true");
    try {
      const answer = await this.#read(signal);
      if (isOver()) return;
      this.#answer = { ...answer, at_ms: this.#ctx.now() };
      this.#trouble.show(silentNotice(answer.nodes));
      this.#show();
    } catch (error) {
      if (isOver()) return;
      this.#trouble.show(errorNotice(error, () => this.load()));
      setText(this.#status, "");
    } finally {
      if (run === this.#run) this.#refresh.setAttribute("aria-disabled", "false");
    }
  }

  /** The answer of `load`, or of the API at `path`. */
  async #read(signal) {
    const { load, path, query, noun, server_sort } = this.#options;
    const { find: _, ...filters } = this.#values;
    const sort = server_sort?.[this.#table.order?.id];
    if (load !== undefined) return await load(filters, sort, signal);
    const answer = await this.#ctx.api.get(path, { ...filters, ...query, sort }, signal);
    return { ...answer, rows: answer[noun[1]] };
  }

  #change(next) {
    const names = Object.keys(next).filter((name) => next[name] !== this.#values[name]);
    if (names.length === 0) return;
    this.#values = next;
    this.#ctx.setQuery(next);
    if (names.every((name) => name === "find")) this.#show();
    else this.load();
  }

  #show() {
    const { columns, empty, noun, cut = "first" } = this.#options;
    const rows = found(this.#answer.rows, columns, this.#values.find ?? "");
    const is_filtered = Object.values(this.#values).some((value) => value !== "");
    this.#table.setEmpty(
      is_filtered ? `No ${noun[1]} match. Empty the filters to see all.` : empty,
    );
    this.#table.show(rows);
    const figures = { ...this.#answer, rows: this.#answer.rows.length, shown: rows.length };
    setText(this.#status, statusText(figures, noun, cut));
    this.#box.hidden = false;
  }
}

/**
 * Options: `title`, `about`, `noun` [one, many], `fields` for `filterForm` in addition to the text search, `columns`,
 * `key`, `sort`, `server_sort` (column id to the API's `sort`), `actions`, `above`, `empty`, `cut` (which rows of a
 * truncated list are shown; "first"), and either `path` of the API, whose answer has the rows under their noun, with
 * constant members of the `query`, or `load(filters, sort, signal)`, which resolves with
 * `{rows, total?, truncated?, nodes?}`. The view's `load()` reads the list again.
 */
export function showList(ctx, place, options) {
  return new ListView(ctx, place, options);
}

/** A view with a list that needs nothing of its context. */
export const listView = (options) => (ctx, place) => void showList(ctx, place, options);
