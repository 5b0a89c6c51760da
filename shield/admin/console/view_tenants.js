// Tenants: the list with the cost of each, and one tenant with its own settings.
import { segment } from "./api.js";
import { linked, numeric, plain } from "./columns.js";
import { el } from "./element.js";
import { bytes, count, percent } from "./format.js";
import { listView, MOST } from "./list_view.js";
import { fullCard, loaded, offText, pageHead } from "./page.js";
import { address } from "./router.js";
import { Table } from "./table.js";

const COLUMNS = [
  linked("tenant", "Tenant", "tenant_id", (id) => address("tenants", id)),
  numeric("connections", "Connections"),
  numeric("users", "Users"),
  numeric("rooms", "Rooms"),
  numeric("ingress", "Messages in", "ingress_messages"),
  numeric("ingress_bytes", "Bytes in", "ingress_bytes", bytes),
  numeric("egress", "Messages out", "egress_messages"),
  numeric("rejects", "Rejects"),
];

export const showTenants = listView({
  title: "Tenants",
  about: "The tenants of the bus, and their use since the Shields started.",
  noun: ["tenant", "tenants"],
  columns: COLUMNS,
  key: ({ tenant_id }) => tenant_id,
  sort: { id: "ingress", direction: "descending" },
  server_sort: { ingress: "messages", connections: "connections", rejects: "rejects" },
  empty: "No tenant has connected since the Shields started.",
  path: "/v1/tenants",
  query: MOST,
});

/** The settings of a tenant that change at run time: where they are read, and how they are shown. */
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
    empty: "None of its own: the configuration's classes apply. Set one with arq room class set.",
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

function settingsCard(ctx, tenant_id, { title, path, part, rows, ...table }) {
  if (ctx.off.includes(part)) return fullCard(title, [], offText(part));
  const there = `/v1/tenants/${segment(tenant_id)}/${path}`;
  const own = loaded(ctx, async () => {
    const answer = await ctx.api.get(there, {}, ctx.signal);
    return new Table({ caption: title, ...table, rows: rows(answer) });
  });
  own.load();
  return fullCard(title, [], own);
}

export function showTenant(ctx, place, { tenant_id }) {
  const query = `tenant=${segment(tenant_id)}`;
  place.append(
    pageHead({
      title: tenant_id,
      crumb: { href: "#/tenants", text: "Tenants" },
      actions: [
        el("a.button", { href: `#/connections?${query}` }, "Its connections"),
        el("a.button", { href: `#/rooms?${query}` }, "Its rooms"),
        el("a.button", { href: address("policies", tenant_id) }, "Its policies"),
      ],
    }),
    el("div.stack", SETTINGS.map((one) => settingsCard(ctx, tenant_id, one))),
  );
}
