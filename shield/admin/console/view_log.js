// Log levels by component, and changes at run time. A change lasts until the process ends.
import { column, plain } from "./columns.js";
import { toast } from "./dialog.js";
import { el } from "./element.js";
import { showList } from "./list_view.js";
import { field } from "./page.js";

const LEVELS = ["debug", "info", "warn", "error"];
const DEFAULT = { text: "the default", dim: true };

/** One row for each node and component, and one for all components without their own level. */
function rowsOf(nodes) {
  return nodes.flatMap(({ node_id, level, levels = {}, components = [] }) => {
    const known = new Set([...components, ...Object.keys(levels)]);
    return [
      { node_id, component: "", level },
      ...[...known].map((component) => ({
        node_id,
        component,
        level: levels[component] ?? level,
        is_own: Object.hasOwn(levels, component),
      })),
    ];
  });
}

const COLUMNS = [
  plain("node", "Node", "node_id"),
  column("component", "Component", "component", (name) => name || DEFAULT),
  column("level", "Level", ({ level }) => LEVELS.indexOf(level), (_order, { level }) => ({
    text: level,
    tone: level === "debug" ? "warn" : "",
  })),
  column("own", "Set by", ({ is_own }) => Number(is_own === true), (is_own, { component }) => {
    if (component === "") return { text: "configuration", dim: true };
    return is_own ? "itself" : DEFAULT;
  }),
];

function levelForm(ctx, onDone) {
  const component = field("Component", {
    name: "component",
    required: true,
    placeholder: "shield, spine, overseer…",
  });
  const node = field("Node", { name: "node_id", placeholder: "every node" });
  const level = field("Level", {
    name: "level",
    value: "info",
    options: [...LEVELS.map((name) => [name, name]), ["", "as configured"]],
  });
  const set = el("button.primary", { type: "submit" }, "Set level");
  const form = el("form.filters", [component, level, node, set]);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const node_id = node.input.value.trim();
    try {
      await ctx.api.put("/v1/log", {
        component: component.input.value.trim(),
        level: level.input.value || null,
        ...(node_id === "" ? {} : { node_id }),
      });
      toast("The level was set.", "ok");
      onDone();
    } catch (error) {
      toast(error.message, "bad");
    }
  });
  return el("section.card", { "aria-label": "Set a level" }, form);
}

/** Shows the levels in force and a form to change one. */
export function showLog(ctx, place) {
  const list = showList(ctx, place, {
    title: "Log levels",
    about: "The log levels of each process. A change lasts until the process ends.",
    noun: ["level", "levels"],
    above: levelForm(ctx, () => list.load()),
    columns: COLUMNS,
    key: ({ node_id, component }) => `${node_id}/${component}`,
    sort: { id: "node", direction: "ascending" },
    empty: "No node has reported its levels.",
    async load(_values, _sort, signal) {
      const answer = await ctx.api.get("/v1/log", {}, signal);
      return { rows: rowsOf(answer.levels), nodes: answer.nodes };
    },
  });
}
