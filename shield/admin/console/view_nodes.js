// The nodes, one node with its health checks and figures, and the drain of a node.
import { action, column, plain, since, wide } from "./columns.js";
import { confirmed } from "./dialog.js";
import { el } from "./element.js";
import { bytes, count, duration, milliseconds, moment, plural } from "./format.js";
import { NODE_COLUMNS, nodeRows, nodeState, nodeTable } from "./node_columns.js";
import {
  badge,
  card,
  errorNotice,
  factCard,
  facts,
  pageHead,
  silentNotice,
  slot,
  tableCard,
} from "./page.js";
import { processesOf } from "./rates.js";

async function drain({ api }, { node_id, kind, gauges }) {
  const clients = kind === "shield"
    ? ` Its ${plural(gauges?.connections ?? 0, "client")} will connect to other Shields.`
    : " Other Brains take over its rooms.";
  await confirmed({
    title: `Drain ${node_id}?`,
    text: `The node accepts no new work, finishes its work, and exits, as on SIGTERM.${clients} ` +
      "It stays down until something starts it again.",
    confirm: "Drain node",
    typed: node_id,
    act: () => api.post("/v1/drain", { node_id }),
    done: () => `${node_id} drains.`,
  });
}

/** Shows the list of nodes until the returned function is called. */
export function showNodes(ctx, place) {
  const trouble = slot();
  const about = ({ node }) => `Drain ${node.node_id}`;
  const drainColumn = action("drain", "Drain", "Drain…", about, ({ node }) => drain(ctx, node));
  const table = nodeTable([...NODE_COLUMNS, drainColumn]);
  place.append(
    pageHead({ title: "Nodes", about: "Shields and Brains of the cluster, live." }),
    el("div.stack", trouble, el("section.card.flush", { "aria-label": "Nodes" }, table)),
  );
  return ctx.feed.listen(({ cluster, error }) => {
    trouble.show(error && errorNotice(error), cluster && silentNotice(cluster));
    if (cluster !== undefined) table.show(nodeRows(cluster, ctx.feed.history));
  });
}

const CHECK_COLUMNS = [
  plain("name", "Check"),
  column(
    "state",
    "State",
    ({ check }) => Number(check.ok),
    (is_ok) => is_ok ? { text: "ok", tone: "ok" } : { text: "failing", tone: "bad" },
  ),
  since("since", "Since", ({ check }) => check.since_ms, ({ now_ms }) => now_ms),
  wide("detail", "Detail", ({ check }) => check.detail),
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
  return pairs.length === 0 ? el("p.hint", "No figures.") : facts(pairs);
}

function processCard(node, sharing) {
  const others = sharing.filter(({ node_id }) => node_id !== node.node_id);
  const names = others.map(({ node_id }) => node_id).join(", ");
  return factCard("Process", [
    ["Kind", node.kind === "brain" ? "Brain" : "Shield"],
    ...(names === "" ? [] : [["Shared with", names]]),
    ["Version", node.version],
    ["Started", moment(node.started_ms)],
    ["Uptime", duration(node.uptime_ms)],
    ["CPU used", duration(node.cpu_seconds * 1_000)],
    ["Resident memory", bytes(node.rss_bytes)],
    ["Heap used", bytes(node.heap_used_bytes)],
    ["Event loop lag", milliseconds(node.event_loop_lag_ms)],
  ]);
}

function nodeCards(node, sharing) {
  return el("div.columns", [
    processCard(node, sharing),
    card("Spine", figureFacts(node.spine)),
    card("Now", figureFacts(node.gauges)),
    card("Since start", figureFacts(node.totals)),
  ]);
}

/** Shows one node until the returned function is called. */
export function showNode(ctx, place, { node_id }) {
  const trouble = slot();
  const state = el("span");
  const cards = slot();
  const checks = tableCard("Health checks", {
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
        el("button.danger", { onclick: () => drain(ctx, latest ?? { node_id }) }, "Drain node…"),
      ],
    }),
    el("div.stack", trouble, checks, cards),
  );
  return ctx.feed.listen(({ cluster, error }) => {
    latest = cluster?.nodes.find((node) => node.node_id === node_id) ?? latest;
    const is_gone = cluster !== undefined &&
      !cluster.nodes.some((node) => node.node_id === node_id);
    trouble.show(
      error && errorNotice(error),
      is_gone && el("p.notice.warn", [
        el("strong", "This node does not answer. "),
        "It has ended, or it is unreachable over the Spine; these are its last figures.",
      ]),
    );
    if (latest === undefined) return;
    const { text, tone } = is_gone ? { text: "silent", tone: "bad" } : nodeState(latest);
    state.replaceChildren(badge(text, tone));
    const now_ms = cluster.now_ms ?? ctx.now();
    const known = Object.entries(latest.checks ?? {});
    checks.show(known.map(([name, check]) => ({ name, check, now_ms })));
    const sharing = processesOf(cluster?.nodes ?? [])
      .find((nodes) => nodes.some((node) => node.node_id === node_id)) ?? [];
    cards.show(nodeCards(latest, sharing));
  });
}
