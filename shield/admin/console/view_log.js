// Log levels by component, and changing them while the processes run. What is changed here holds until
// the process ends.
import { toast } from "./dialog.js";
import { el } from "./element.js";
import { showList } from "./list_view.js";

const LEVELS = ["debug", "info", "warn", "error"];

/** One row a node and component, and one for all components without a level of their own. */
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
  { id: "node", label: "Node", value: ({ node_id }) => node_id, cell: ({ node_id }) => node_id },
  {
    id: "component",
    label: "Component",
    value: ({ component }) => component,
    cell: ({ component }) => component === "" ? { text: "the default", dim: true } : component,
  },
  {
    id: "level",
    label: "Level",
    value: ({ level }) => LEVELS.indexOf(level),
    cell: ({ level }) => ({ text: level, tone: level === "debug" ? "warn" : "" }),
  },
  {
    id: "own",
    label: "Set by",
    value: ({ is_own }) => Number(is_own === true),
    cell: ({ component, is_own }) => {
      if (component === "") return { text: "configuration", dim: true };
      return is_own ? "itself" : { text: "the default", dim: true };
    },
  },
];

function levelForm(ctx, onDone) {
  const component = el("input", {
    name: "component",
    required: true,
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "shield, spine, overseer…",
  });
  const node = el("input", {
    name: "node_id",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "every node",
  });
  const level = el(
    "select",
    { name: "level" },
    LEVELS.map((value) => el("option", { value, selected: value === "info" }, value)),
    el("option", { value: "" }, "as configured"),
  );
  const form = el(
    "form",
    { class: "filters" },
    el("label", {}, "Component", component),
    el("label", {}, "Level", level),
    el("label", {}, "Node", node),
    el("button", { type: "submit", class: "primary" }, "Set level"),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const node_id = node.value.trim();
    try {
      await ctx.api.put("/v1/log", {
        component: component.value.trim(),
        level: level.value === "" ? null : level.value,
        ...(node_id === "" ? {} : { node_id }),
      });
      toast("The level was set.", "ok");
      onDone();
    } catch (error) {
      toast(error.message, "bad");
    }
  });
  return el("section", { class: "card", "aria-label": "Set a level" }, form);
}

/** Shows the levels in force and a form to change one. */
export function showLog(ctx, place) {
  const list = showList(ctx, place, {
    title: "Log levels",
    about: "What each process writes. A change holds until the process ends.",
    noun: ["level", "levels"],
    fields: [{ name: "find", label: "Find in these rows", placeholder: "any text" }],
    above: levelForm(ctx, () => list.load()),
    columns: COLUMNS,
    key: ({ node_id, component }) => `${node_id}/${component}`,
    sort: { id: "node", direction: "ascending" },
    empty: "No node has told its levels.",
    async load(_values, _sort, signal) {
      const answer = await ctx.api.get("/v1/log", {}, signal);
      return { rows: rowsOf(answer.levels), nodes: answer.nodes };
    },
  });
}
