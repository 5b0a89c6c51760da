// What one tenant uses of the bus: its budgets with what is left, a chart over the time that was asked for,
// and a table by class of room, of user and by policy. What it says is the answer of `GET /v1/usage`.
import { segment } from "./api.js";
import { createChart } from "./chart.js";
import { figure, numeric, plain } from "./columns.js";
import { el, setText } from "./element.js";
import { bytes, clock, compact, count, moment, percent } from "./format.js";
import { card, errorNotice, facts, filterForm, pageHead, slot } from "./page.js";
import { createTable } from "./table.js";

const HOUR_MS = 3_600_000;
/** Hours back, and what the chart tells apart in them, as long as that is kept. */
const SPANS = { 1: "minute", 24: "hour", 168: "day", 720: "day" };
const STEP_MS = { minute: 60_000, hour: HOUR_MS, day: 24 * HOUR_MS };
const BY = ["room", "user", "policy", "node"];
const TONES = { warn: "warn", slow: "warn", refuse: "bad" };

const words = (unit) => unit.replaceAll("_", " ");
const exact = (value) => value.toLocaleString("en-US", { maximumFractionDigits: 4 });
const amount = (name, label, format = compact) =>
  numeric(name, label, (row) => row[name], (value) => value === 0 ? "0" : format(value));

const AMOUNTS = [
  figure("messages_in", "Messages in", "messages_in"),
  figure("deliveries", "Deliveries", "deliveries"),
  figure("bytes_in", "Bytes in", "bytes_in", bytes),
  figure("bytes_out", "Bytes out", "bytes_out", bytes),
  amount("connection_minutes", "Connection minutes", exact),
  amount("fuel", "Fuel"),
  amount("schema_steps", "Schema steps"),
  figure("commands", "Commands", "commands"),
  figure("log_bytes", "Stored", "log_bytes", bytes),
  figure("reads", "Reads", "reads"),
  figure("read_bytes", "Read bytes", "read_bytes", bytes),
  amount("cost", "Cost", exact),
];

const BUDGET_COLUMNS = [
  plain("per", "Per"),
  plain("unit", "Of", ({ unit }) => words(unit)),
  {
    id: "action",
    label: "Then",
    value: ({ action }) => action,
    cell: ({ action, exhausted }) => ({ text: action, tone: exhausted ? TONES[action] : "" }),
  },
  amount("limit", "Budget", exact),
  amount("used", "Used", exact),
  amount("left", "Left", exact),
  numeric("share", "Part", ({ used, limit }) => (limit === 0 ? 1 : used / limit), percent),
  plain("end_ms", "Until", ({ end_ms }) => moment(end_ms)),
];

function budgetsCard(budgets) {
  const table = createTable({
    caption: "Budgets",
    columns: BUDGET_COLUMNS,
    key: ({ per, unit, action }) => `${per} ${unit} ${action}`,
    empty: "None: nothing bounds what this tenant uses in a day or a month.",
  });
  table.show(budgets);
  return card("Budgets", { flush: true }, table.element);
}

const rowName = (row, by) => by.map((one) => row[one] || "–").join(", ");

function rowsCard({ rows, total, by, tenant }) {
  const names = by.map((one) =>
    plain(one, `${one[0].toUpperCase()}${one.slice(1)}`, (row) => row[one] || undefined)
  );
  const table = createTable({
    caption: "Use",
    columns: [...names, ...AMOUNTS],
    key: (row) => rowName(row, by),
    sort: { id: "messages_in", direction: "descending" },
    empty: "Nothing was used in this time.",
  });
  table.show(rows);
  const sum = facts([
    ["Tenant", tenant],
    ["Messages in", count(total.messages_in)],
    ["Deliveries", count(total.deliveries)],
    ["Connection minutes", exact(total.connection_minutes)],
    ["Cost", exact(total.cost)],
  ]);
  return [card("All of it", {}, sum), card("Use", { flush: true }, table.element)];
}

/** The chart's points: one for each step of the time, also where nothing was used. */
function pointsOf(rows, by, unit, since_ms, until_ms) {
  const step_ms = STEP_MS[by];
  const known = new Map(rows.map((row) => [row[by], row[unit]]));
  const times = [];
  for (let at = Math.ceil(since_ms / step_ms) * step_ms; at <= until_ms; at += step_ms) {
    times.push(at);
  }
  return { times, values: times.map((at) => known.get(at) ?? 0) };
}

function chartOf({ rows, total, by, since_ms, until_ms }) {
  const [step] = by;
  const unit = total.cost > 0 ? "cost" : "messages_in";
  const title = `${unit === "cost" ? "Cost" : "Messages in"} by ${step}`;
  const span_ms = until_ms - since_ms;
  const options = { title, format: exact, axis: compact, floor: 0.001, base: 1_000, span_ms };
  const chart = createChart(options);
  const { times, values } = pointsOf(rows, step, unit, since_ms, until_ms);
  const series = [{ name: words(unit), values }];
  chart.show({ times, series, at_ms: until_ms, figure: exact(total[unit]), about: "in all" });
  return chart;
}

const lostText = ({ node_id, after_ms, most_ms }) =>
  `${node_id} ended without a word: what it counted after ${moment(after_ms)}, at most ` +
  `${exact(most_ms / 1_000)} s of it, is missing.`;

/** What is kept for just as long as was asked for has gone by the time of the answer: that is nothing to tell. */
const isGone = ({ since_ms, whole_since_ms }) => whole_since_ms > since_ms + STEP_MS.minute;

function notices(found) {
  const { lost, damaged, whole_since_ms } = found;
  const texts = lost.map(lostText);
  if (isGone(found)) texts.push(`What was before ${moment(whole_since_ms)} may have gone.`);
  if (damaged > 0) texts.push(`${count(damaged)} blocks of the ledger cannot be read.`);
  return texts.map((text) => el("p", { class: "notice warn" }, text));
}

/** Shows what a tenant uses. */
export function showUsage(ctx, place) {
  const whose = { name: "tenant", label: "Tenant", placeholder: "exact id, else your own" };
  const fields = [
    ...(ctx.only_tenant === undefined ? [whose] : []),
    {
      name: "hours",
      label: "Time",
      options: [["24", "24 hours"], ["1", "1 hour"], ["168", "7 days"], ["720", "30 days"]],
    },
    {
      name: "by",
      label: "By",
      options: [["", "room, user, policy"], ...BY.map((one) => [one, one])],
    },
  ];
  let values = Object.fromEntries(fields.map(({ name }) => [name, ctx.query[name] ?? ""]));
  const status = el("p", { class: "hint", role: "status" });
  const told = slot();
  let chart;
  let run = 0;

  async function load() {
    const mine = ++run;
    setText(status, "Reading…");
    const hours = values.hours in SPANS ? values.hours : "24";
    const until_ms = Math.floor(ctx.now());
    const time = { since_ms: until_ms - Number(hours) * HOUR_MS, until_ms };
    const usage = (by) =>
      ctx.api.get("/v1/usage", { tenant: values.tenant, by, ...time }, ctx.signal);
    try {
      const found = await usage(values.by || "room,user,policy");
      const path = `/v1/tenants/${segment(found.tenant)}/budgets`;
      const [times, { in_force }] = await Promise.all([
        usage(SPANS[hours]),
        ctx.api.get(path, {}, ctx.signal),
      ]);
      if (mine !== run) return;
      chart?.close();
      chart = chartOf(times);
      told.show(notices(found), budgetsCard(in_force), chart.element, rowsCard(found));
      setText(status, `Read at ${clock(ctx.now())}.`);
    } catch (error) {
      if (ctx.signal.aborted || mine !== run) return;
      setText(status, "");
      told.show(errorNotice(error, load));
    }
  }

  const change = (next) => {
    values = next;
    ctx.setQuery(next);
    load();
  };
  const refresh = el("button", { type: "button", onclick: () => load() }, "Refresh");
  place.append(
    pageHead({
      title: "Usage",
      about: "What a tenant uses of the bus, what that costs by the price list, and its budgets.",
      actions: [refresh],
    }),
    el("div", { class: "stack" }, filterForm(fields, values, change), status, told.element),
  );
  load();
  return () => chart?.close();
}
