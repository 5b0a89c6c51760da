// Schemas, mirror rules and limits: what is in force, to look at. Changing them is `arq schema`,
// `arq mirror` and the configuration.
import { segment } from "./api.js";
import { plain, when } from "./columns.js";
import { el } from "./element.js";
import { bytes, count, duration, moment, percent, textOf } from "./format.js";
import { showList } from "./list_view.js";
import { badge, card, errorNotice, facts, offText, pageHead, silentNotice, slot } from "./page.js";
import { createTable } from "./table.js";

const FIND = [{ name: "find", label: "Find in these rows", placeholder: "any text" }];

/** How a look at the registry ended, as people say it. */
const HERE = {
  loaded: { text: "in force", tone: "ok" },
  unchanged: { text: "in force", tone: "ok" },
  loading: { text: "loading", tone: "warn" },
};

function hereCell(here) {
  if (here === null || here === undefined) return { text: "not mapped", dim: true };
  return HERE[here.state] ?? { text: here.state, tone: "bad" };
}

const SCHEMA_COLUMNS = [
  {
    id: "schema",
    label: "Schema",
    value: ({ schema_id }) => schema_id,
    cell: ({ schema_id }) => ({ text: schema_id, href: `#/schemas/${segment(schema_id)}` }),
  },
  plain("compatibility", "Compatibility"),
  {
    id: "latest",
    label: "Latest version",
    numeric: true,
    value: ({ latest }) => latest.version,
    cell: ({ latest }) => count(latest.version),
  },
  {
    id: "registered",
    label: "Registered",
    value: ({ latest }) => latest.registered_ms,
    cell: ({ latest }) => moment(latest.registered_ms),
  },
  plain("by", "By", ({ latest }) => latest.by),
  {
    id: "here",
    label: "On this Shield",
    value: ({ here }) => here?.state,
    cell: ({ here }) => hereCell(here),
  },
];

/** Shows the list of schemas. */
export function showSchemas(ctx, place) {
  showList(ctx, place, {
    title: "Schemas",
    about: "Contracts that events are held to. Which rooms they are for stands with each tenant.",
    noun: ["schema", "schemas"],
    fields: FIND,
    columns: SCHEMA_COLUMNS,
    key: ({ schema_id }) => schema_id,
    sort: { id: "schema", direction: "ascending" },
    empty: "No schema is registered. Register one with arq schema push.",
    async load(_values, _sort, signal) {
      const { schemas } = await ctx.api.get("/v1/schemas", {}, signal);
      return { rows: schemas };
    },
  });
}

const VERSION_COLUMNS = [
  {
    ...plain("version", "Version", ({ version }) => version),
    numeric: true,
    cell: ({ version }) => count(version),
  },
  when("registered", "Registered", "registered_ms"),
  plain("by", "By"),
  {
    id: "size",
    label: "Size",
    numeric: true,
    value: ({ size_bytes }) => size_bytes,
    cell: ({ size_bytes }) => bytes(size_bytes),
  },
  {
    id: "sha256",
    label: "SHA-256",
    value: ({ sha256 }) => sha256,
    cell: ({ sha256 }) => ({ text: sha256.slice(0, 16), title: sha256, mono: true }),
  },
];

const MESSAGE_COLUMNS = [
  plain("message", "Message"),
  plain("version", "Version", ({ version }) => version),
  { ...plain("problem", "Problem", ({ problem }) => problem ?? "none"), wide: true },
];

function schemaCards({ compatibility, versions, refused, here }) {
  const versionTable = createTable({
    caption: "Versions",
    columns: VERSION_COLUMNS,
    key: ({ version }) => String(version),
    sort: { id: "version", direction: "descending" },
  });
  const messages = createTable({
    caption: "Messages in use on this Shield",
    columns: MESSAGE_COLUMNS,
    key: ({ message }) => message,
    empty: "No room is mapped to this schema. Map one with arq schema map.",
  });
  versionTable.show(versions);
  messages.show(here?.messages ?? []);
  const { text, tone } = hereCell(here);
  return [
    card(
      "In force",
      {},
      facts([
        ["Compatibility", compatibility],
        ["On this Shield", badge(text, tone)],
        ["Confirmed", here?.age_ms === undefined ? "–" : `${duration(here.age_ms)} ago`],
        ["Refused put", refused?.problem ?? "none"],
      ]),
    ),
    card("Versions", { flush: true }, versionTable.element),
    card("Messages in use on this Shield", { flush: true }, messages.element),
  ];
}

/** Shows one schema. */
export function showSchema(ctx, place, { schema_id }) {
  const content = slot();
  const load = async () => {
    try {
      const path = `/v1/schemas/${segment(schema_id)}`;
      content.show(schemaCards(await ctx.api.get(path, {}, ctx.signal)));
    } catch (error) {
      if (!ctx.signal.aborted) content.show(errorNotice(error, load));
    }
  };
  place.append(
    pageHead({
      title: schema_id,
      crumb: { href: "#/schemas", text: "Schemas" },
      actions: [el("button", { type: "button", onclick: load }, "Refresh")],
    }),
    content.element,
  );
  load();
}

const MIRROR_COLUMNS = [
  {
    id: "prefix",
    label: "Subjects",
    value: ({ prefix }) => prefix,
    cell: ({ prefix }) => ({ text: prefix, mono: true }),
  },
  {
    id: "percent",
    label: "Share",
    numeric: true,
    value: ({ percent: share }) => share,
    cell: ({ percent: share }) => percent(share),
  },
  plain("source", "Set in", ({ source }) => (source === "config" ? "configuration" : "settings")),
  {
    id: "tenant",
    label: "Tenant",
    value: ({ tenant_id }) => tenant_id,
    cell: ({ tenant_id }) =>
      tenant_id === undefined || tenant_id === null
        ? { text: "every", dim: true }
        : { text: tenant_id, href: `#/tenants/${segment(tenant_id)}` },
  },
];

/** Shows the mirror rules. */
export function showMirror(ctx, place) {
  showList(ctx, place, {
    title: "Mirror rules",
    about: "Which share of whose traffic is copied. Of the rules that match, the longest counts.",
    noun: ["rule", "rules"],
    fields: FIND,
    columns: MIRROR_COLUMNS,
    key: ({ prefix, tenant_id }) => `${tenant_id ?? ""}/${prefix}`,
    sort: { id: "prefix", direction: "ascending" },
    empty: "Nothing is mirrored. Add a rule with arq mirror set, or in [platform.mirroring].",
    async load(_values, _sort, signal) {
      const answer = await ctx.api.get("/v1/mirror", {}, signal);
      return { ...answer, rows: answer.rules };
    },
  });
}

function limitText(name, value) {
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "number") return textOf(value, 1_000);
  const people = name.endsWith("_bytes") && value >= 1_024
    ? bytes(value)
    : name.endsWith("_ms") && value >= 1_000
    ? duration(value)
    : name.endsWith("_seconds") && value >= 60
    ? duration(value * 1_000)
    : undefined;
  const exact = Number.isInteger(value) ? count(value) : String(value);
  return people === undefined ? exact : `${exact} (${people})`;
}

/** `[name, text]` of each value in an object, names of inner ones joined with dots. */
function flatten(object, before = "") {
  return Object.entries(object).flatMap(([name, value]) =>
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? flatten(value, `${before}${name}.`)
      : [[`${before}${name}`, limitText(name, value)]]
  );
}

/** Shows the limits that are in force. */
export function showLimits(ctx, place) {
  const content = slot();
  const load = async () => {
    try {
      const answer = await ctx.api.get("/v1/limits", {}, ctx.signal);
      const { node_id, nodes, ...tables } = answer;
      const cards = Object.entries(tables).map(([name, value]) =>
        card(
          `[${name}]`,
          {},
          typeof value === "object" && value !== null
            ? facts(flatten(value))
            : el("p", {}, limitText(name, value)),
        )
      );
      content.show(
        silentNotice(nodes),
        el("p", { class: "hint" }, `As ${node_id} has them in force, from its configuration file.`),
        el("div", { class: "columns" }, cards),
      );
    } catch (error) {
      if (!ctx.signal.aborted) content.show(errorNotice(error, load));
    }
  };
  place.append(
    pageHead({
      title: "Limits",
      about: "What a client, a tenant and a node may use. What each means: docs/configuration.md.",
      actions: [el("button", { type: "button", onclick: load }, "Refresh")],
    }),
    content.element,
  );
  load();
}

/** Shown to the admin of one tenant for what is about the whole bus. */
export function showOperatorsOnly({ only_tenant }, place) {
  place.append(
    pageHead({ title: "For operators of the whole bus" }),
    el(
      "p",
      {},
      `This token is for an admin of tenant ${only_tenant}, which sees and changes what is that ` +
        "tenant's. Who operates the whole bus stands in [admin] operator_tenants. Go to ",
      el("a", { href: "#/" }, "the tenant"),
      ".",
    ),
  );
}

/** Shown for a view of a part that the configuration switches off. */
export function showOff(_ctx, place, { title, part }) {
  place.append(pageHead({ title }), offText(part));
}

/** Shown for an address that names no view. */
export function showUnknown(_ctx, place) {
  place.append(
    pageHead({ title: "No such page" }),
    el(
      "p",
      {},
      "This address names nothing in the console. Go to the ",
      el("a", { href: "#/" }, "overview"),
      ".",
    ),
  );
}
