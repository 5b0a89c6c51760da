// A card with a headline figure and lines over the last minutes, drawn as SVG so that colours come
// from the style sheet. `rates.js` computes the figures.
import { el, replace, setText, svg } from "./element.js";
import { clock } from "./format.js";
import { roundUp } from "./rates.js";

const HEIGHT = 108;
const LEFT = 44;
const RIGHT = 6;
const TOP = 8;
const BOTTOM = 18;
/** From this many minutes on, the time scale is in hours. */
const HOURS_FROM = 120;
/** Colours of the style sheet. */
export const SERIES_MAX = 4;

const isFigure = (value) => typeof value === "number" && Number.isFinite(value);

function linePath(xs, values, y) {
  let path = "";
  let is_open = false;
  values.forEach((value, index) => {
    if (!isFigure(value)) {
      is_open = false;
      return;
    }
    path += `${is_open ? "L" : "M"}${xs[index].toFixed(1)} ${y(value).toFixed(1)}`;
    // The round line cap draws a single point as a dot.
    if (!is_open && !isFigure(values[index + 1])) path += "h0";
    is_open = true;
  });
  return path;
}

function areaPath(xs, values, y) {
  const first = values.findIndex(isFigure);
  const last = values.findLastIndex(isFigure);
  if (first < 0 || values.slice(first, last + 1).some((value) => !isFigure(value))) return "";
  const line = linePath(xs, values, y).replace("h0", "");
  return `${line}L${xs[last].toFixed(1)} ${y(0)}L${xs[first].toFixed(1)} ${y(0)}Z`;
}

function spanText(ms) {
  const minutes = ms / 60_000;
  if (minutes >= HOURS_FROM) return `−${Math.round(minutes / 60)} h`;
  return `−${Number.isInteger(minutes) ? minutes : minutes.toFixed(1)} min`;
}

const spanWords = (minutes) =>
  minutes >= HOURS_FROM ? `${Math.round(minutes / 60)} hours` : `${minutes} minutes`;

/** Labels of a scale omit a zero decimal: 20 k, not 20.0 k. */
const tickText = (text) => text.replace(/\.0(?!\d)/, "");

/**
 * Options: `title`; `format(value)` of figures; `axis(value)` of the scale, by default the same;
 * `floor`, the lowest top of the scale; `base`, 1000 or 1024; `span_ms`, the time that the width shows.
 */
export class Chart {
  element;
  #options;
  #headline = el("p.figure", "–");
  #note = el("p.figure-note");
  #legend = el("ul.legend");
  #time = el("span.legend-time");
  #drawing = svg("svg.plot", { height: HEIGHT, role: "img" });
  #observer = new ResizeObserver(([entry]) => this.#resize(Math.round(entry.contentRect.width)));
  #width = 300;
  #shown = { times: [], series: [], hidden: 0, at_ms: 0 };
  /** Index of the point under the pointer. */
  #hovered;

  constructor(options) {
    this.#options = options;
    const { title } = options;
    this.element = el("section.card.chart", { "aria-label": title }, [
      el("div.chart-head", el("h2", title), this.#headline, this.#note),
      this.#drawing,
      el("div.chart-foot", this.#legend, this.#time),
    ]);
    this.#drawing.addEventListener("pointermove", ({ offsetX }) => this.#hover(offsetX));
    this.#drawing.addEventListener("pointerleave", () => this.#hover(undefined));
    this.#observer.observe(this.#drawing);
    this.#draw();
  }

  /**
   * Draws series `{name, values}` (values by `times`, Unix ms) up to `at_ms`; `hidden` is the number of
   * series that are not drawn, `figure` the headline, `about` the text beside it.
   */
  show({ times, series, hidden = 0, at_ms, figure, about }) {
    this.#shown = { times, series, hidden, at_ms };
    setText(this.#headline, figure);
    setText(this.#note, about);
    this.#draw();
  }

  /** Stops observing the width. */
  close() {
    this.#observer.disconnect();
  }

  #resize(width) {
    if (width === this.#width || width === 0) return;
    this.#width = width;
    this.#draw();
  }

  #hover(offset) {
    const distances = offset === undefined
      ? []
      : this.#shown.times.map((at_ms) => Math.abs(this.#x(at_ms) - offset));
    const nearest = distances.indexOf(Math.min(...distances));
    this.#hovered = nearest < 0 ? undefined : nearest;
    this.#draw();
  }

  #x(at_ms) {
    const inner = this.#width - LEFT - RIGHT;
    return LEFT + inner * (1 - (this.#shown.at_ms - at_ms) / this.#options.span_ms);
  }

  #frame(top, y) {
    const { format, axis = format, span_ms } = this.#options;
    const ticks = [0, top / 2, top];
    const right = this.#width - RIGHT;
    const text = (props, content) => svg("text.tick", { ...props }, content);
    return [
      ...ticks.map((tick) => svg("line.grid", { x1: LEFT, x2: right, y1: y(tick), y2: y(tick) })),
      ...ticks.map((tick) =>
        text({ x: LEFT - 6, y: y(tick) + 4, "text-anchor": "end" }, tickText(axis(tick)))
      ),
      text({ x: LEFT, y: HEIGHT - 3 }, spanText(span_ms)),
      text({ x: right, y: HEIGHT - 3, "text-anchor": "end" }, "now"),
    ];
  }

  #draw() {
    const { times, series } = this.#shown;
    const { floor, base } = this.#options;
    const figures = series.flatMap(({ values }) => values.filter(isFigure));
    const top = roundUp(Math.max(floor, ...figures), base);
    const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top);
    const xs = times.map((at_ms) => this.#x(at_ms));
    const area = series.length === 1
      ? [svg("path.area.s0", { d: areaPath(xs, series[0].values, y) })]
      : [];
    const x = xs[this.#hovered];
    const cross = x === undefined ? [] : [svg("line.cross", { x1: x, x2: x, y1: TOP, y2: y(0) })];
    const lines = series.map(({ values }, index) =>
      svg("path", { class: `line s${index}`, d: linePath(xs, values, y) })
    );
    this.#drawing.setAttribute("viewBox", `0 0 ${this.#width} ${HEIGHT}`);
    replace(this.#drawing, this.#frame(top, y), area, lines.reverse(), cross);
    this.#describe();
  }

  #describe() {
    const { times, series, hidden } = this.#shown;
    const { title, format, span_ms } = this.#options;
    const latest = times.length - 1;
    const hovered_ms = times[this.#hovered];
    const at = hovered_ms === undefined ? latest : this.#hovered;
    setText(this.#time, hovered_ms === undefined ? "" : clock(hovered_ms));
    const entries = series.map(({ name, values }, index) =>
      el("li", { class: `s${index}` }, [
        el("span.swatch", { "aria-hidden": "true" }),
        el("span.legend-name", { title: name }, name),
        el("span.legend-value", format(values[at])),
      ])
    );
    const more = hidden > 0 ? [el("li.more", `+${hidden} more`)] : [];
    replace(this.#legend, entries, more);
    const now = series.map(({ name, values }) => `${name} ${format(values[latest])}`).join(", ");
    const span = `last ${spanWords(span_ms / 60_000)}`;
    this.#drawing.setAttribute("aria-label", `${title}, ${span}. Now: ${now || "nothing yet"}`);
  }
}
