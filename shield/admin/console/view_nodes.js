// The nodes, one node with its health checks and figures, and draining it.
import { action } from "./columns.js";
import { confirmed, toast } from "./dialog.js";
import { el } from "./element.js";
import { ago, bytes, count, duration, milliseconds, moment, plural } from "./format.js";
import { NODE_COLUMNS, nodeRows, nodeState } from "./node_columns.js";
import { badge, card, errorNotice, facts, pageHead, silentNotice, slot } from "./page.js";
import { processesOf } from "./rates.js";
import { createTable } from "./table.js";

async function drain({ api }, { node_id, kind, gauges }) {
  const clients = kind === "shield"
    ? ` Its ${plural(gauges?.connections ?? 0, "client")} will connect to other Shields.`
    : " Other Brains take over its rooms.";
  const is_done = await confirmed({
    title: `Drain ${node_id}?`,
    text: `The node takes no new work, finishes what it has, and exits, as at SIGTERM.${clients} ` +
      "It comes back only when something starts it again.",
    confirm: "Drain node",
    typed: node_id,
    act: () => api.post("/v1/drain", { node_id }),
  });
  if (is_done) toast(`${node_id} drains.`, "ok");
}

/** Shows the list of nodes until the returned function is called. */
export function showNodes(ctx, place) {
  const trouble = slot();
  const drainColumn = action(
    "drain",
    "Drain",
    "Drain…",
    ({ node }) => `Drain ${node.node_id}`,
    ({ node }) => drain(ctx, node),
  );
  const table = createTable({
    caption: "Nodes",
    columns: [...NODE_COLUMNS, drainColumn],
    key: ({ node }) => node.node_id,
    sort: { id: "node", direction: "ascending" },
    empty: "No node has answered yet.",
  });
  place.append(
    pageHead({ title: "Nodes", about: "Shields and Brains of the cluster, live." }),
    el(
      "div",
      { class: "stack" },
      trouble.element,
      el("section", { class: "card flush", "aria-label": "Nodes" }, table.element),
    ),
  );
  return ctx.feed.listen(({ cluster, error }) => {
    trouble.show(error && errorNotice(error), cluster && silentNotice(cluster));
    if (cluster !== undefined) table.show(nodeRows(cluster, ctx.feed.history));
  });
}

const CHECK_COLUMNS = [
  { id: "name", label: "Check", value: ({ name }) => name, cell: ({ name }) => name },
  {
    id: "state",
    label: "State",
    value: ({ check }) => Number(check.ok),
    cell: ({ check }) => check.ok ? { text: "ok", tone: "ok" } : { text: "failing", tone: "bad" },
  },
  {
    id: "since",
    label: "Since",
    value: ({ check }) => check.since_ms,
    cell: ({ check, now_ms }) => ({
      text: ago(check.since_ms, now_ms),
      title: moment(check.since_ms),
    }),
  },
  {
    id: "detail",
    label: "Detail",
    wide: true,
    value: ({ check }) => check.detail,
    cell: ({ check }) => check.detail ?? "",
  },
];

function valueText(name, value) {
  if (typeof value !== "number") return typeof value === "object" ? undefined : String(value);
  if (name.endsWith("_bytes")) return bytes(value);
  if (name === "since_ms" || name === "started_ms") return moment(value);
  if (name.endsWith("_lag_ms") || name.endsWith("round_trip_ms")) return milliseconds(value);
  return Number.isInteger(value) ? count(value) : value.toFixed(3);
}

function figureFacts(figures) {
  const pairs = Object.entries(figures ?? {}).flatMap(([name, value]) => {
    if (typeof value === "object" && value !== null) {
      const inner = Object.entries(value).map(([key, figure]) => `${key} ${count(figure)}`);
      return [[name.replaceAll("_", " "), inner.length === 0 ? "none" : inner.join(", ")]];
    }
    return [[name.replaceAll("_", " "), valueText(name, value)]];
  });
  return pairs.length === 0 ? el("p", { class: "hint" }, "No figures.") : facts(pairs);
}

/** The process with the names of those that share it: its figures are theirs together. */
function processCard(node, sharing) {
  const others = sharing.filter(({ node_id }) => node_id !== node.node_id);
  return card(
    "Process",
    {},
    facts([
      ["Kind", node.kind === "brain" ? "Brain" : "Shield"],
      ...(others.length === 0
        ? []
        : [["Shared with", others.map(({ node_id }) => node_id).join(", ")]]),
      ["Version", node.version],
      ["Started", moment(node.started_ms)],
      ["Uptime", duration(node.uptime_ms)],
      ["CPU used", duration(node.cpu_seconds * 1_000)],
      ["Resident memory", bytes(node.rss_bytes)],
      ["Heap used", bytes(node.heap_used_bytes)],
      ["Event loop lag", milliseconds(node.event_loop_lag_ms)],
    ]),
  );
}

function nodeCards(node, sharing) {
  return el(
    "div",
    { class: "columns" },
    processCard(node, sharing),
    card("Spine", {}, figureFacts(node.spine)),
    card("Now", {}, figureFacts(node.gauges)),
    card("Since start", {}, figureFacts(node.totals)),
  );
}

/** Shows one node until the returned function is called. */
export function showNode(ctx, place, { node_id }) {
  const trouble = slot();
  const state = el("span");
  const cards = slot();
  const checks = createTable({
    caption: "Health checks",
    columns: CHECK_COLUMNS,
    key: ({ name }) => name,
    sort: { id: "state", direction: "ascending" },
    empty: "This node reports no checks.",
  });
  let latest;
  place.append(
    pageHead({
      title: node_id,
      crumb: { href: "#/nodes", text: "Nodes" },
      actions: [
        state,
        el("button", {
          type: "button",
          class: "danger",
          onclick: () => drain(ctx, latest ?? { node_id }),
        }, "Drain node…"),
      ],
    }),
    el(
      "div",
      { class: "stack" },
      trouble.element,
      card("Health checks", { flush: true }, checks.element),
      cards.element,
    ),
  );
  return ctx.feed.listen(({ cluster, error }) => {
    latest = cluster?.nodes.find((node) => node.node_id === node_id) ?? latest;
    const is_gone = cluster !== undefined &&
      !cluster.nodes.some((node) => node.node_id === node_id);
    trouble.show(
      error && errorNotice(error),
      is_gone && el(
        "p",
        { class: "notice warn" },
        el("strong", {}, "This node does not answer. "),
        "It has ended, or it cannot be reached over the Spine; the figures are its last ones.",
      ),
    );
    if (latest === undefined) return;
    const { text, tone } = is_gone ? { text: "silent", tone: "bad" } : nodeState(latest);
    state.replaceChildren(badge(text, tone));
    const now_ms = cluster.now_ms ?? ctx.now();
    checks.show(
      Object.entries(latest.checks ?? {}).map(([name, check]) => ({
        name,
        check,
        now_ms,
      })),
    );
    const sharing = processesOf(cluster?.nodes ?? [])
      .find((nodes) => nodes.some((node) => node.node_id === node_id)) ?? [];
    cards.show(nodeCards(latest, sharing));
  });
}
