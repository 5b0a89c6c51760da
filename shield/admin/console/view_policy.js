// One policy of a tenant: its decisions over time and the newest ones, from the journal (`journal_lines.js`),
// and the flips of another module.
import { segment } from "./api.js";
import { Chart } from "./chart.js";
import { action, column, numeric, plain, when } from "./columns.js";
import { DecisionCounts, endingOf } from "./decisions.js";
import { el, setText } from "./element.js";
import { compact, count, duration, plural } from "./format.js";
import { isHole, lineCard, readLines } from "./journal_lines.js";
import { errorNotice, exact, filterForm, pageHead, slot, tableCard } from "./page.js";
import { createFlips, replayCommand } from "./policy_flips.js";
import { Trial } from "./policy_trial.js";

const HOUR_MS = 3_600_000;
const PAGE_LINES = 2_000;
const LINES_MAX = 20_000;
/** The number of newest decisions in the table. */
const ROWS_MAX = 200;
const TONES = { allowed: "ok", refused: "warn", faults: "bad" };

function decisionColumns(policy, open) {
  const call = (line) => line.policies.find(({ name }) => name === policy);
  return [
    when("at", "When", "time_ms"),
    column("ending", "Decision", (line) => endingOf(line, policy), (ending, line) => {
      const { fault, code, reason } = call(line);
      const words = { allowed: ending, refused: `${code} ${reason}`, faults: `fault ${fault}` };
      return { text: words[ending], tone: TONES[ending] };
    }),
    plain("room", "Room"),
    plain("user", "User", ({ sender }) => sender?.user ?? "(erased)"),
    plain("type", "Type"),
    numeric("units", "Units", (line) => call(line).units),
    plain("module", "Module", (line) => call(line).module.slice(0, 12)),
    action("open", "Open", "Open", (line) => `Open ${line.id}`, open),
  ];
}

/** Reads a window of the journal, oldest first, up to the maximum of one reading. */
async function readWindow(ctx, query, { counts, onRead }) {
  const rows = [];
  for (let after, read = 0;;) {
    const page_query = { ...query, limit: PAGE_LINES, after };
    const { lines, end } = await readLines(ctx.api, page_query, ctx.signal);
    for (const line of lines) {
      counts.add(line);
      if (!isHole(line)) rows.push(line);
    }
    rows.splice(0, rows.length - ROWS_MAX);
    read += lines.length;
    onRead(read);
    if (end.is_end || read >= LINES_MAX) return { rows, is_whole: end.is_end };
    after = end.next;
  }
}

const missingText = ({ missing, unknown_holes }) =>
  missing + unknown_holes === 0
    ? ""
    : ` Holes: ${count(missing)} records are missing${
      unknown_holes === 0 ? "" : `, and ${plural(unknown_holes, "hole")} of unknown size`
    }.`;

const FIELDS = [{ name: "hours", label: "Hours back", placeholder: "1" }, exact("room")];

class PolicyView {
  #ctx;
  #tenant;
  #policy;
  #values;
  /** Number of the latest load: an older one that overlaps it is ignored. */
  #run = 0;
  #chart;
  #chart_place = slot();
  #trouble = slot();
  #opened = slot();
  #status = el("p.hint", { role: "status" }, "Loading…");
  #decisions;
  #flips = createFlips((flip) => this.#openFlip(flip));
  #trial;

  constructor(ctx, place, { tenant_id, policy }) {
    this.#ctx = ctx;
    this.#tenant = tenant_id;
    this.#policy = policy;
    this.#values = { hours: ctx.query.hours ?? "", room: ctx.query.room ?? "" };
    this.#decisions = tableCard("Newest decisions", {
      columns: decisionColumns(policy, (line) => this.#open(line)),
      key: ({ id }) => id,
      sort: { id: "at", direction: "descending" },
      empty: "Nothing was recorded. [journal] of the configuration says what is recorded.",
    });
    this.#trial = new Trial(ctx, (flip) => this.#openFlip(flip));
    place.append(
      pageHead({
        title: `Policy ${policy} of ${tenant_id}`,
        about: "Its decisions, from the journal.",
        crumb: { href: `#/policies/${segment(tenant_id)}`, text: "Policies of the tenant" },
        actions: [el("button", { onclick: () => this.load() }, "Refresh")],
      }),
      el("div.stack", [
        filterForm(FIELDS, this.#values, (next) => this.#change(next)),
        this.#trouble,
        this.#status,
        this.#chart_place,
        this.#decisions,
        this.#opened,
        this.#trial,
        this.#flips,
      ]),
    );
    this.load();
  }

  /** Reads the journal again and shows it. Never rejects. */
  async load() {
    const run = ++this.#run;
    const isOver = () => this.#ctx.signal.aborted || run !== this.#run;
    const [tenant, policy, { room }] = [this.#tenant, this.#policy, this.#values];
    const hours = Number(this.#values.hours) > 0 ? Number(this.#values.hours) : 1;
    this.#flips.setCommand(replayCommand({ tenant, policy, room, hours }));
    const until_ms = this.#ctx.now();
    const from_ms = Math.floor(until_ms - hours * HOUR_MS);
    this.#trial.setWindow({ tenant, policy, room, from_ms, until_ms });
    const counts = new DecisionCounts({ policy, from_ms, until_ms });
    const onRead = (read) => {
      if (!isOver()) setText(this.#status, `Reading: ${plural(read, "line")}.`);
    };
    try {
      const query = { tenant, policy, room, since_ms: from_ms };
      const { rows, is_whole } = await readWindow(this.#ctx, query, { counts, onRead });
      if (isOver()) return;
      this.#trouble.show();
      this.#draw(counts, { is_whole, until_ms, span_ms: hours * HOUR_MS });
      this.#decisions.show(rows);
    } catch (error) {
      if (isOver()) return;
      setText(this.#status, "");
      this.#trouble.show(errorNotice(error, () => this.load()));
    }
  }

  /** Stops drawing. */
  close() {
    this.#chart?.close();
    this.#trial.stop();
  }

  #change(next) {
    if (Object.keys(next).every((name) => next[name] === this.#values[name])) return;
    this.#values = next;
    this.#ctx.setQuery(next);
    this.load();
  }

  #draw(counts, { is_whole, until_ms, span_ms }) {
    this.#chart?.close();
    this.#chart = new Chart({
      title: "Decisions over time",
      ...{ format: count, axis: compact, floor: 4, base: 1_000, span_ms },
    });
    const about = `decisions, in intervals of ${duration(counts.interval_ms)}`;
    const figure = count(counts.total);
    this.#chart.show({ ...counts.chart(is_whole), at_ms: until_ms, figure, about });
    this.#chart_place.show(this.#chart);
    const { allowed, refused, faults } = counts.totals;
    const ended = `${count(allowed)} allowed, ${count(refused)} refused, ${
      plural(faults, "fault")
    }.`;
    const cut = is_whole ? "" : " One reading has a limit: these are the oldest decisions.";
    setText(this.#status, `${ended}${missingText(counts)}${cut}`);
  }

  #open(line) {
    this.#opened.show(lineCard(line));
    this.#opened.element.scrollIntoView({ block: "nearest" });
  }

  async #openFlip(flip) {
    const { id, time_ms, room } = flip;
    const [tenant, policy] = [this.#tenant, this.#policy];
    const at = { since_ms: time_ms, until_ms: time_ms, limit: PAGE_LINES };
    try {
      const query = { tenant, policy, room, ...at };
      const { lines } = await readLines(this.#ctx.api, query, this.#ctx.signal);
      const line = lines.find((one) => one.id === id);
      if (line === undefined) throw new Error(`The journal no longer has decision ${id}.`);
      this.#open(line);
    } catch (error) {
      if (this.#ctx.signal.aborted) return;
      this.#opened.show(errorNotice(error, () => this.#openFlip(flip)));
    }
  }
}

export function showPolicy(ctx, place, values) {
  const view = new PolicyView(ctx, place, values);
  return () => view.close();
}
