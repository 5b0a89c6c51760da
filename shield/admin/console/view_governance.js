// Schemas, mirror rules and limits in force, read-only. `arq schema`, `arq mirror` and the configuration
// change them.
import { segment } from "./api.js";
import { column, digest, linked, plain, when, wide } from "./columns.js";
import { el } from "./element.js";
import { bytes, count, duration, percent, textOf } from "./format.js";
import { listView } from "./list_view.js";
import {
  badge,
  card,
  factCard,
  offText,
  pageHead,
  showLoaded,
  silentNotice,
  tableCard,
} from "./page.js";
import { address } from "./router.js";

/** The result of a registry lookup, as text. */
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
  linked("schema", "Schema", "schema_id", (id) => address("schemas", id)),
  plain("compatibility", "Compatibility"),
  column("latest", "Latest version", ({ latest }) => latest.version, count, { numeric: true }),
  when("registered", "Registered", ({ latest }) => latest.registered_ms),
  plain("by", "By", ({ latest }) => latest.by),
  column("here", "On this Shield", ({ here }) => here?.state, (_state, { here }) => hereCell(here)),
];

export const showSchemas = listView({
  title: "Schemas",
  about: "Schemas that events have to match. A tenant's page lists the rooms of each schema.",
  noun: ["schema", "schemas"],
  columns: SCHEMA_COLUMNS,
  key: ({ schema_id }) => schema_id,
  sort: { id: "schema", direction: "ascending" },
  empty: "No schema is registered. Register one with arq schema push.",
  path: "/v1/schemas",
});

const VERSION_COLUMNS = [
  column("version", "Version", "version", count, { numeric: true }),
  when("registered", "Registered", "registered_ms"),
  plain("by", "By"),
  column("size", "Size", "size_bytes", bytes, { numeric: true }),
  digest("sha256", "SHA-256", 16),
];

const MESSAGE_COLUMNS = [
  plain("message", "Message"),
  plain("version", "Version"),
  wide("problem", "Problem", "problem", "none"),
];

function schemaCards({ compatibility, versions, refused, here }) {
  const { text, tone } = hereCell(here);
  return [
    factCard("In force", [
      ["Compatibility", compatibility],
      ["On this Shield", badge(text, tone)],
      ["Confirmed", here?.age_ms === undefined ? "–" : `${duration(here.age_ms)} ago`],
      ["Refused put", refused?.problem ?? "none"],
    ]),
    tableCard("Versions", {
      columns: VERSION_COLUMNS,
      key: ({ version }) => String(version),
      sort: { id: "version", direction: "descending" },
      rows: versions,
    }),
    tableCard("Messages in use on this Shield", {
      columns: MESSAGE_COLUMNS,
      key: ({ message }) => message,
      empty: "No room is mapped to this schema. Map one with arq schema map.",
      rows: here?.messages ?? [],
    }),
  ];
}

export function showSchema(ctx, place, { schema_id }) {
  const crumb = { href: "#/schemas", text: "Schemas" };
  const path = `/v1/schemas/${segment(schema_id)}`;
  showLoaded(
    ctx,
    place,
    { title: schema_id, crumb },
    async () => schemaCards(await ctx.api.get(path, {}, ctx.signal)),
  );
}

const MIRROR_COLUMNS = [
  column("prefix", "Subjects", "prefix", (text) => ({ text, mono: true })),
  column("percent", "Share", "percent", percent, { numeric: true }),
  plain("source", "Set in", ({ source }) => (source === "config" ? "configuration" : "settings")),
  column(
    "tenant",
    "Tenant",
    "tenant_id",
    (text) =>
      text === undefined || text === null
        ? { text: "every", dim: true }
        : { text, href: address("tenants", text) },
  ),
];

export const showMirror = listView({
  title: "Mirror rules",
  about:
    "The share of each tenant's traffic that is copied. Of matching rules the longest applies.",
  noun: ["rule", "rules"],
  columns: MIRROR_COLUMNS,
  key: ({ prefix, tenant_id }) => `${tenant_id ?? ""}/${prefix}`,
  sort: { id: "prefix", direction: "ascending" },
  empty: "Nothing is mirrored. Add a rule with arq mirror set, or in [platform.mirroring].",
  path: "/v1/mirror",
});

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

export function showLimits(ctx, place) {
  const about =
    "What a client, a tenant and a node may use. docs/configuration.md explains each limit.";
  showLoaded(ctx, place, { title: "Limits", about }, async () => {
    const { node_id, nodes, ...tables } = await ctx.api.get("/v1/limits", {}, ctx.signal);
    const cards = Object.entries(tables).map(([name, value]) =>
      typeof value === "object" && value !== null
        ? factCard(`[${name}]`, flatten(value))
        : card(`[${name}]`, el("p", limitText(name, value)))
    );
    return [
      silentNotice(nodes),
      el("p.hint", `The limits in force on ${node_id}, from its configuration file.`),
      el("div.columns", cards),
    ];
  });
}

/** Shown to the admin of one tenant for a view of the whole bus. */
export function showOperatorsOnly({ only_tenant }, place) {
  place.append(
    pageHead({ title: "For operators of the whole bus" }),
    el("p", [
      `This token is for an admin of tenant ${only_tenant}, which sees and changes only that ` +
      "tenant. [admin] operator_tenants names the operators of the whole bus. Go to ",
      el("a", { href: "#/" }, "the tenant"),
      ".",
    ]),
  );
}

/** Shown for a view of a disabled part. */
export function showOff(_ctx, place, { title, part }) {
  place.append(pageHead({ title }), offText(part));
}

/** Shown for an address without a view. */
export function showUnknown(_ctx, place) {
  place.append(
    pageHead({ title: "No such page" }),
    el("p", [
      "The console has no page at this address. Go to the ",
      el("a", { href: "#/" }, "overview"),
      ".",
    ]),
  );
}
