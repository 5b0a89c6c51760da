// Clients: the list, one client, and ending its connection.
import { segment } from "./api.js";
import { column, linked, numeric, titled } from "./columns.js";
import { confirmed } from "./dialog.js";
import { el } from "./element.js";
import { ago, bytes, count, duration, moment } from "./format.js";
import { lifeOfConnection } from "./life.js";
import { MOST, showList } from "./list_view.js";
import { exact, factCard, showLoaded, tableCard } from "./page.js";
import { address } from "./router.js";

const idText = (id) => (id.length > 14 ? `${id.slice(0, 13)}…` : id);

const columns = (now) => [
  column("connection", "Connection", "connection_id", (id) => ({
    text: idText(id),
    title: id,
    href: address("connections", id),
    mono: true,
  })),
  titled("tenant", "Tenant", "tenant_id"),
  titled("user", "User", "user_id"),
  titled("role", "Role"),
  titled("node", "Node", "node_id"),
  titled("ip", "Address", "remote_ip"),
  column("age", "Age", ({ connected_ms }) => now() - connected_ms, (age_ms, { connected_ms }) => ({
    text: duration(age_ms),
    title: moment(connected_ms),
  }), { numeric: true }),
  numeric("subscriptions", "Subs"),
  numeric("received", "Received", "received_messages"),
  numeric("sent", "Sent", "sent_messages"),
  numeric("pending", "Pending", "pending_operations"),
  numeric("unsent", "Unsent", "unsent_bytes", bytes),
];

export function showConnections(ctx, place) {
  showList(ctx, place, {
    title: "Connections",
    about: "Clients of every Shield. An answer has at most 1,000; filters search all.",
    noun: ["connection", "connections"],
    fields: [exact("tenant"), exact("user"), exact("room", "In room"), exact("node")],
    columns: columns(ctx.now),
    key: ({ connection_id }) => connection_id,
    sort: { id: "unsent", direction: "descending" },
    server_sort: { unsent: "unsent", age: "age", received: "messages", sent: "messages" },
    empty: "No client is connected. Clients appear here once a Shield has accepted them.",
    path: "/v1/connections",
    query: MOST,
  });
}

const yesNo = (id, label) =>
  column(id, label, ({ room }) => Number(room[id] === true), (is_so) => ({
    text: is_so ? "yes" : "no",
    dim: !is_so,
  }));

const ROOM_COLUMNS = [
  linked(
    "room",
    "Room",
    ({ room }) => room.room_id,
    (id, { tenant_id }) => address("rooms", tenant_id, id),
  ),
  yesNo("presence", "Presence"),
  yesNo("no_echo", "No echo"),
  yesNo("batch", "Batches"),
  linked(
    "life",
    "Messages",
    () => "delivered messages",
    (_text, { room, tenant_id, connection_id }) =>
      lifeOfConnection(tenant_id, connection_id, room.room_id),
    { sortable: false },
  ),
];

function cards(connection, now_ms) {
  const { tenant_id, connection_id, node_id, connected_ms } = connection;
  const expires_ms = connection.token_expires_ms;
  const until = expires_ms ? ` (in ${duration(expires_ms - now_ms)})` : "";
  const refused = lifeOfConnection(tenant_id, connection_id);
  return [
    el("div.columns", [
      factCard("Who", [
        ["User", connection.user_id],
        ["Tenant", tenant_id],
        ["Role", connection.role],
        ["Issuer", connection.issuer],
        ["Token ends", `${moment(expires_ms)}${until}`],
      ]),
      factCard("Where", [
        ["Node", el("a", { href: address("nodes", node_id) }, node_id)],
        ["Address", connection.remote_ip],
        ["Protocol", connection.protocol],
        ["Connected", `${moment(connected_ms)} (${ago(connected_ms, now_ms)})`],
      ]),
      factCard("Traffic", [
        ["Received from it", `${count(connection.received_messages)} messages`],
        ["Sent to it", `${count(connection.sent_messages)} messages`],
        ["Unsent", bytes(connection.unsent_bytes)],
        ["Pending operations", count(connection.pending_operations)],
        ["Refused", el("a", { href: refused }, "refused operations")],
      ]),
    ]),
    tableCard("Rooms", {
      columns: ROOM_COLUMNS,
      key: ({ room }) => room.room_id,
      sort: { id: "room", direction: "ascending" },
      empty: "This client has subscribed to no room.",
      rows: (connection.rooms ?? []).map((room) => ({ room, tenant_id, connection_id })),
    }),
  ];
}

export function showConnection(ctx, place, { connection_id }) {
  const path = `/v1/connections/${segment(connection_id)}`;
  const disconnect = async () => {
    const is_done = await confirmed({
      title: "Disconnect this client?",
      text:
        `This closes ${connection_id} at once. Its token stays valid: to keep it out, revoke it.`,
      confirm: "Disconnect",
      act: () => ctx.api.remove(path),
      done: () => "The client was disconnected.",
    });
    if (is_done) ctx.go("#/connections");
  };
  showLoaded(ctx, place, {
    title: connection_id,
    crumb: { href: "#/connections", text: "Connections" },
    actions: [el("button.danger", { onclick: disconnect }, "Disconnect…")],
  }, async () => cards(await ctx.api.get(path, {}, ctx.signal), ctx.now()));
}
