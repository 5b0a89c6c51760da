// The use of one tenant (`GET /v1/usage`): its budgets with their remainder, a chart over the requested time,
// and a table by room class, user class and policy.
import { segment } from "./api.js";
import { Chart } from "./chart.js";
import { numeric, plain, toned, when } from "./columns.js";
import { el } from "./element.js";
import { bytes, compact, count, moment, percent } from "./format.js";
import { factCard, showAnswers, tableCard } from "./page.js";

const HOUR_MS = 3_600_000;
/** Hours back, and the chart's step for them, for as long as that is stored. */
const SPANS = { 1: "minute", 24: "hour", 168: "day", 720: "day" };
const STEP_MS = { minute: 60_000, hour: HOUR_MS, day: 24 * HOUR_MS };
const BY = ["room", "user", "policy", "node"];
const TONES = { warn: "warn", slow: "warn", refuse: "bad" };

const words = (unit) => unit.replaceAll("_", " ");
const exact = (value) => value.toLocaleString("en-US", { maximumFractionDigits: 4 });
const amount = (name, label, format = compact) =>
  numeric(name, label, name, (value) => value === 0 ? "0" : format(value));

const AMOUNTS = [
  numeric("messages_in", "Messages in"),
  numeric("deliveries", "Deliveries"),
  numeric("bytes_in", "Bytes in", "bytes_in", bytes),
  numeric("bytes_out", "Bytes out", "bytes_out", bytes),
  amount("connection_minutes", "Connection minutes", exact),
  amount("fuel", "Fuel"),
  amount("schema_steps", "Schema steps"),
  numeric("commands", "Commands"),
  numeric("log_bytes", "Stored", "log_bytes", bytes),
  numeric("reads", "Reads"),
  numeric("read_bytes", "Read bytes", "read_bytes", bytes),
  amount("cost", "Cost", exact),
];

const BUDGET_COLUMNS = [
  plain("per", "Per"),
  plain("unit", "Of", ({ unit }) => words(unit)),
  toned("action", "Then", "action", (action, { exhausted }) => exhausted ? TONES[action] : ""),
  amount("limit", "Budget", exact),
  amount("used", "Used", exact),
  amount("left", "Left", exact),
  numeric("share", "Part", ({ used, limit }) => (limit === 0 ? 1 : used / limit), percent),
  when("end_ms", "Until"),
];

const budgetsCard = (rows) =>
  tableCard("Budgets", {
    columns: BUDGET_COLUMNS,
    key: ({ per, unit, action }) => `${per} ${unit} ${action}`,
    empty: "None: the tenant's use in a day or month is unlimited.",
    rows,
  });

const rowName = (row, by) => by.map((one) => row[one] || "–").join(", ");

function rowsCards({ rows, total, by, tenant }) {
  const names = by.map((one) =>
    plain(one, `${one[0].toUpperCase()}${one.slice(1)}`, (row) => row[one] || undefined)
  );
  const sum = factCard("Total", [
    ["Tenant", tenant],
    ["Messages in", count(total.messages_in)],
    ["Deliveries", count(total.deliveries)],
    ["Connection minutes", exact(total.connection_minutes)],
    ["Cost", exact(total.cost)],
  ]);
  const table = tableCard("Use", {
    columns: [...names, ...AMOUNTS],
    key: (row) => rowName(row, by),
    sort: { id: "messages_in", direction: "descending" },
    empty: "Nothing was used in this time.",
    rows,
  });
  return [sum, table];
}

/** The chart's points: one for each step of the time, also without use. */
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
  const chart = new Chart(options);
  const { times, values } = pointsOf(rows, step, unit, since_ms, until_ms);
  const series = [{ name: words(unit), values }];
  chart.show({ times, series, at_ms: until_ms, figure: exact(total[unit]), about: "in all" });
  return chart;
}

const lostText = ({ node_id, after_ms, most_ms }) =>
  `${node_id} was killed: its counts after ${moment(after_ms)} are missing, at most ` +
  `${exact(most_ms / 1_000)} s of them.`;

/** Data that expires exactly at the beginning of the requested time has expired during the request: no notice. */
const isGone = ({ since_ms, whole_since_ms }) => whole_since_ms > since_ms + STEP_MS.minute;

function notices(found) {
  const { lost, damaged, whole_since_ms } = found;
  const texts = lost.map(lostText);
  if (isGone(found)) texts.push(`Data before ${moment(whole_since_ms)} may have expired.`);
  if (damaged > 0) texts.push(`${count(damaged)} blocks of the ledger cannot be read.`);
  return texts.map((text) => el("p.notice.warn", text));
}

/** Shows the use of a tenant. */
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
  let chart;
  async function ask({ tenant, hours: hours_wanted, by }, isOver) {
    const hours = hours_wanted in SPANS ? hours_wanted : "24";
    const until_ms = Math.floor(ctx.now());
    const time = { since_ms: until_ms - Number(hours) * HOUR_MS, until_ms };
    const usage = (of) => ctx.api.get("/v1/usage", { tenant, by: of, ...time }, ctx.signal);
    const found = await usage(by || "room,user,policy");
    const path = `/v1/tenants/${segment(found.tenant)}/budgets`;
    const [times, { in_force }] = await Promise.all([
      usage(SPANS[hours]),
      ctx.api.get(path, {}, ctx.signal),
    ]);
    if (isOver()) return [];
    chart?.close();
    chart = chartOf(times);
    return [notices(found), budgetsCard(in_force), chart, rowsCards(found)];
  }
  const view = showAnswers(ctx, place, {
    title: "Usage",
    about: "A tenant's use of the bus, its cost by the price list, and its budgets.",
    actions: [el("button", { onclick: () => view.load() }, "Refresh")],
    ...{ fields, ask, asking: "Reading…" },
  });
  return () => chart?.close();
}
