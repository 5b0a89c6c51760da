// Tenants: the list with what each costs, and one of them with the settings that are its own.
import { segment } from "./api.js";
import { figure, plain } from "./columns.js";
import { el } from "./element.js";
import { bytes, count, percent } from "./format.js";
import { ROWS_MAX, showList } from "./list_view.js";
import { card, errorNotice, offText, pageHead, slot } from "./page.js";
import { createTable } from "./table.js";

const COLUMNS = [
  {
    id: "tenant",
    label: "Tenant",
    value: ({ tenant_id }) => tenant_id,
    cell: ({ tenant_id }) => ({ text: tenant_id, href: `#/tenants/${segment(tenant_id)}` }),
  },
  figure("connections", "Connections", "connections"),
  figure("users", "Users", "users"),
  figure("rooms", "Rooms", "rooms"),
  figure("ingress", "Messages in", "ingress_messages"),
  figure("ingress_bytes", "Bytes in", "ingress_bytes", bytes),
  figure("egress", "Messages out", "egress_messages"),
  figure("rejects", "Rejects", "rejects"),
];

/** Shows the list of tenants. */
export function showTenants(ctx, place) {
  showList(ctx, place, {
    title: "Tenants",
    about: "Who uses the bus, and how much since the Shields started.",
    noun: ["tenant", "tenants"],
    fields: [{ name: "find", label: "Find in these rows", placeholder: "any text" }],
    columns: COLUMNS,
    key: ({ tenant_id }) => tenant_id,
    sort: { id: "ingress", direction: "descending" },
    server_sort: { ingress: "messages", connections: "connections", rejects: "rejects" },
    empty: "No tenant has connected since the Shields started.",
    async load(_, sort, signal) {
      const answer = await ctx.api.get("/v1/tenants", { sort, limit: ROWS_MAX }, signal);
      return { ...answer, rows: answer.tenants };
    },
  });
}

/** What of a tenant is set at run time: where it is read, and how it is shown. */
const SETTINGS = [
  {
    title: "Room classes",
    path: "rooms",
    rows: (answer) => answer.rooms,
    key: ({ room }) => room,
    columns: [
      plain("room", "Rooms"),
      plain("durable", "Durable", ({ durable }) => (durable ? "yes" : "no")),
      plain("history_size", "History", ({ history_size }) => count(history_size)),
      plain("presence", "Presence", ({ presence }) => (presence ? "yes" : "no")),
      plain("slow_reader", "Slow readers"),
    ],
    empty:
      "None of its own: the classes of the configuration hold. Set one with arq room class set.",
  },
  {
    title: "Schema mappings",
    path: "mappings",
    part: "platform.registry",
    rows: (answer) => answer.mappings,
    key: ({ subject }) => subject,
    columns: [
      plain("subject", "Subject"),
      plain("schema_id", "Schema"),
      plain("message", "Message"),
      plain("mode", "Mode"),
    ],
    empty: "None of its own. Map a room to a schema with arq schema map.",
  },
  {
    title: "Mirror rules",
    path: "mirror",
    part: "platform.mirroring",
    rows: (answer) => answer.rules,
    key: ({ prefix }) => prefix,
    columns: [
      plain("prefix", "Subjects"),
      plain("percent", "Share", ({ percent: share }) => percent(share)),
    ],
    empty: "None of its own. Mirror a share of a room with arq mirror set.",
  },
];

function settingsCard(ctx, tenant_id, { title, path, part, rows, key, columns, empty }) {
  if (ctx.off.includes(part)) return card(title, { flush: true }, offText(part));
  const table = createTable({ caption: title, columns, key, empty });
  const trouble = slot();
  trouble.show();
  const load = async () => {
    try {
      const answer = await ctx.api.get(`/v1/tenants/${segment(tenant_id)}/${path}`, {}, ctx.signal);
      trouble.show();
      table.show(rows(answer));
    } catch (error) {
      if (!ctx.signal.aborted) trouble.show(errorNotice(error, load));
    }
  };
  load();
  return card(title, { flush: true }, trouble.element, table.element);
}

/** Shows one tenant. */
export function showTenant(ctx, place, { tenant_id }) {
  const query = `tenant=${segment(tenant_id)}`;
  place.append(
    pageHead({
      title: tenant_id,
      crumb: { href: "#/tenants", text: "Tenants" },
      actions: [
        el("a", { class: "button", href: `#/connections?${query}` }, "Its connections"),
        el("a", { class: "button", href: `#/rooms?${query}` }, "Its rooms"),
        el(
          "a",
          { class: "button", href: `#/policies/${segment(tenant_id)}` },
          "Its policies",
        ),
      ],
    }),
    el("div", { class: "stack" }, SETTINGS.map((one) => settingsCard(ctx, tenant_id, one))),
  );
}
