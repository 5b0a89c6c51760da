// A table that sorts by its column heads and shows one page of rows. Unchanged rows and cells are not
// redrawn, so that a live table keeps the focus. It loads no data.
import { el, replace, setText } from "./element.js";
import { count } from "./format.js";

const PAGE_ROWS = 50;

function cellContent(cell) {
  if (typeof cell !== "object" || cell === null) return [String(cell ?? "")];
  const { text, href, tone, title, action, label } = cell;
  if (href !== undefined) return [el("a", { href }, text)];
  if (action !== undefined) {
    const props = { class: "small", "aria-label": label, onclick: action };
    return [el("button", props, text)];
  }
  return tone === undefined ? [text] : [el("span", { class: `badge ${tone}`, title }, text)];
}

function cellClass(column, cell) {
  const names = [
    column.numeric && "numeric",
    cell?.mono && "mono",
    cell?.dim && "dim",
    column.wide && "wide",
  ];
  return names.filter(Boolean).join(" ");
}

function fillCell(td, column, cell) {
  const mark = JSON.stringify(cell) ?? "";
  // The mark does not contain a button's action, so a button is renewed unless it has the focus.
  const stays = cell?.action === undefined || td.contains(document.activeElement);
  if (td.mark === mark && stays) return;
  td.mark = mark;
  td.className = cellClass(column, cell);
  if (cell?.title !== undefined && cell.tone === undefined) td.title = cell.title;
  else td.removeAttribute("title");
  replace(td, cellContent(cell));
}

const isNone = (value) => value === undefined || value === null || Number.isNaN(value);

/** Order of rows by one column; rows without a value are last in both directions. */
function comparison(value, direction) {
  return (a, b) => {
    const [left, right] = [value(a), value(b)];
    if (isNone(left) || isNone(right)) return Number(isNone(left)) - Number(isNone(right));
    const order = typeof left === "number" && typeof right === "number"
      ? left - right
      : String(left).localeCompare(String(right), "en", { numeric: true });
    return direction === "ascending" ? order : -order;
  };
}

/** Buttons between pages; hidden while all rows fit on one page. */
class Pager {
  #range = el("span.range");
  #previous;
  #next;
  element;

  constructor(onTurn) {
    const button = (text, by) => el("button.small", { onclick: () => onTurn(by) }, text);
    this.#previous = button("Previous", -1);
    this.#next = button("Next", 1);
    this.element = el("div.pager", this.#range, this.#previous, this.#next);
  }

  show(page, rows) {
    const first = page * PAGE_ROWS;
    const last = Math.min(first + PAGE_ROWS, rows);
    this.element.hidden = rows <= PAGE_ROWS;
    setText(this.#range, `${count(first + 1)}–${count(last)} of ${count(rows)}`);
    // `disabled` would take the focus from keyboard users.
    this.#previous.setAttribute("aria-disabled", String(page === 0));
    this.#next.setAttribute("aria-disabled", String(last === rows));
  }
}

/**
 * Options: `caption`; `columns` of `{id, label, value(row), cell(row), numeric?, wide?, sortable?, is_hidden?,
 * about?}` (`is_hidden`: the head's text is for screen readers only), where a cell is text or `{text, href?, tone?,
 * action?, label?, title?, mono?, dim?}`; `key(row)`; the first `rows`; `sort` `{id, direction}`;
 * `onSort({id, direction})`; `empty`, the text without rows.
 */
export class Table {
  element;
  #options;
  #order;
  #rows = [];
  #sorted = [];
  #page = 0;
  /** Rows of the current page, by key. */
  #shown = new Map();
  #heads;
  #body = el("tbody");
  #nothing;
  #scroller;
  #pager = new Pager((by) => this.#turn(this.#page + by));

  constructor(options) {
    this.#options = options;
    const { caption, columns, sort, empty = "Nothing to show." } = options;
    this.#order = sort;
    this.#heads = columns.map((column) => this.#head(column));
    this.#nothing = el("div.empty", { hidden: true }, empty);
    this.#scroller = el("div.scroller", {
      role: "region",
      "aria-label": `${caption}, table`,
      tabindex: 0,
    }, [
      el("table", el("caption.hidden", caption), el("thead", el("tr", this.#heads)), this.#body),
    ]);
    this.element = el("div", this.#scroller, this.#nothing, this.#pager);
    this.show(options.rows ?? []);
  }

  /** Replaces the rows; the order stays, and the page if it still exists. */
  show(rows) {
    this.#rows = rows;
    this.#arrange();
  }

  setEmpty(text) {
    setText(this.#nothing, text);
  }

  /** The column id and direction of the sort order. */
  get order() {
    return this.#order;
  }

  #head(column) {
    const th = el("th", { scope: "col", class: column.numeric ? "numeric" : "" });
    const props = { title: column.about, onclick: () => this.#sortBy(column) };
    const label = column.is_hidden ? el("span.hidden", column.label) : column.label;
    replace(th, column.sortable === false ? label : el("button", props, label));
    return th;
  }

  #sortBy({ id, numeric }) {
    const first = numeric ? "descending" : "ascending";
    const other = numeric ? "ascending" : "descending";
    const is_again = this.#order?.id === id && this.#order.direction === first;
    this.#order = { id, direction: is_again ? other : first };
    this.#page = 0;
    this.#arrange();
    this.#options.onSort?.(this.#order);
  }

  #arrange() {
    const { columns } = this.#options;
    columns.forEach(({ id, sortable }, index) => {
      if (sortable === false) return;
      const direction = this.#order?.id === id ? this.#order.direction : "none";
      this.#heads[index].setAttribute("aria-sort", direction);
    });
    const column = columns.find(({ id }) => id === this.#order?.id);
    this.#sorted = column === undefined
      ? this.#rows
      : this.#rows.toSorted(comparison(column.value, this.#order.direction));
    this.#turn(this.#page);
  }

  #turn(to) {
    const last = Math.max(0, Math.ceil(this.#sorted.length / PAGE_ROWS) - 1);
    this.#page = Math.min(Math.max(0, to), last);
    this.#draw();
  }

  #row(row) {
    const { columns, key } = this.#options;
    const id = key(row);
    const tr = this.#shown.get(id) ?? el("tr", columns.map(() => el("td")));
    columns.forEach((column, index) => fillCell(tr.children[index], column, column.cell(row)));
    return [id, tr];
  }

  #draw() {
    const first = this.#page * PAGE_ROWS;
    const some = this.#sorted.slice(first, first + PAGE_ROWS);
    this.#shown = new Map(some.map((row) => this.#row(row)));
    const wanted = [...this.#shown.values()];
    const { children } = this.#body;
    const is_same = wanted.length === children.length &&
      wanted.every((tr, index) => children[index] === tr);
    if (!is_same) this.#body.replaceChildren(...wanted);
    this.#nothing.hidden = this.#rows.length > 0;
    this.#scroller.hidden = this.#rows.length === 0;
    this.#pager.show(this.#page, this.#sorted.length);
  }
}
