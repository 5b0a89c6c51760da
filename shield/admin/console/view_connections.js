// Clients: the list, one of them, and ending its connection.
import { segment } from "./api.js";
import { figure } from "./columns.js";
import { confirmed, toast } from "./dialog.js";
import { el } from "./element.js";
import { ago, bytes, count, duration, moment } from "./format.js";
import { lifeOfConnection } from "./life.js";
import { ROWS_MAX, showList } from "./list_view.js";
import { card, errorNotice, facts, pageHead, slot } from "./page.js";
import { createTable } from "./table.js";

const idText = (id) => (id.length > 14 ? `${id.slice(0, 13)}…` : id);

const text = (id, label, name) => ({
  id,
  label,
  value: (row) => row[name],
  cell: (row) => ({ text: row[name] ?? "", title: row[name] }),
});

function columns(now) {
  return [
    {
      id: "connection",
      label: "Connection",
      value: (row) => row.connection_id,
      cell: ({ connection_id }) => ({
        text: idText(connection_id),
        title: connection_id,
        href: `#/connections/${segment(connection_id)}`,
        mono: true,
      }),
    },
    text("tenant", "Tenant", "tenant_id"),
    text("user", "User", "user_id"),
    text("role", "Role", "role"),
    text("node", "Node", "node_id"),
    { ...text("ip", "Address", "remote_ip"), label: "Address" },
    {
      id: "age",
      label: "Age",
      numeric: true,
      value: (row) => now() - row.connected_ms,
      cell: (row) => ({
        text: duration(now() - row.connected_ms),
        title: moment(row.connected_ms),
      }),
    },
    figure("subscriptions", "Subs", "subscriptions"),
    figure("received", "Received", "received_messages"),
    figure("sent", "Sent", "sent_messages"),
    figure("pending", "Pending", "pending_operations"),
    figure("unsent", "Unsent", "unsent_bytes", bytes),
  ];
}

/** Shows the list of connections. */
export function showConnections(ctx, place) {
  showList(ctx, place, {
    title: "Connections",
    about: "Clients of every Shield. The answer holds at most 1,000; filters look at all.",
    noun: ["connection", "connections"],
    fields: [
      { name: "tenant", label: "Tenant", placeholder: "exact id" },
      { name: "user", label: "User", placeholder: "exact id" },
      { name: "room", label: "In room", placeholder: "exact id" },
      { name: "node", label: "Node", placeholder: "exact id" },
      { name: "find", label: "Find in these rows", placeholder: "any text", wide: true },
    ],
    columns: columns(ctx.now),
    key: ({ connection_id }) => connection_id,
    sort: { id: "unsent", direction: "descending" },
    server_sort: { unsent: "unsent", age: "age", received: "messages", sent: "messages" },
    empty: "Nobody is connected. Clients appear here as soon as a Shield has accepted them.",
    async load({ find: _, ...filters }, sort, signal) {
      const query = { ...filters, sort, limit: ROWS_MAX };
      const answer = await ctx.api.get("/v1/connections", query, signal);
      return { ...answer, rows: answer.connections };
    },
  });
}

const yesNo = (value) => (value ? "yes" : "no");

const ROOM_COLUMNS = [
  {
    id: "room",
    label: "Room",
    value: ({ room }) => room.room_id,
    cell: ({ room, tenant_id }) => ({
      text: room.room_id,
      href: `#/rooms/${segment(tenant_id)}/${segment(room.room_id)}`,
    }),
  },
  ...[["presence", "Presence"], ["no_echo", "No echo"], ["batch", "Batches"]].map((
    [name, label],
  ) => ({
    id: name,
    label,
    value: ({ room }) => Number(room[name] === true),
    cell: ({ room }) => ({ text: yesNo(room[name]), dim: room[name] !== true }),
  })),
  {
    id: "life",
    label: "Messages",
    sortable: false,
    value: () => "",
    cell: ({ room, tenant_id, connection_id }) => ({
      text: "what it was sent",
      href: lifeOfConnection(tenant_id, connection_id, room.room_id),
    }),
  },
];

function cards(connection, now_ms) {
  const { tenant_id, connection_id } = connection;
  const rooms = createTable({
    caption: "Rooms",
    columns: ROOM_COLUMNS,
    key: ({ room }) => room.room_id,
    sort: { id: "room", direction: "ascending" },
    empty: "This client has subscribed to no room.",
  });
  rooms.show((connection.rooms ?? []).map((room) => ({ room, tenant_id, connection_id })));
  const expires_ms = connection.token_expires_ms;
  const until = expires_ms ? ` (in ${duration(expires_ms - now_ms)})` : "";
  return el(
    "div",
    { class: "stack" },
    el(
      "div",
      { class: "columns" },
      card(
        "Who",
        {},
        facts([
          ["User", connection.user_id],
          ["Tenant", tenant_id],
          ["Role", connection.role],
          ["Issuer", connection.issuer],
          ["Token ends", `${moment(expires_ms)}${until}`],
        ]),
      ),
      card(
        "Where",
        {},
        facts([
          [
            "Node",
            el(
              "a",
              { href: `#/nodes/${segment(connection.node_id)}` },
              connection.node_id,
            ),
          ],
          ["Address", connection.remote_ip],
          ["Protocol", connection.protocol],
          [
            "Connected",
            `${moment(connection.connected_ms)} (${ago(connection.connected_ms, now_ms)})`,
          ],
        ]),
      ),
      card(
        "Traffic",
        {},
        facts([
          ["Received from it", `${count(connection.received_messages)} messages`],
          ["Sent to it", `${count(connection.sent_messages)} messages`],
          ["Unsent", bytes(connection.unsent_bytes)],
          ["Pending operations", count(connection.pending_operations)],
          [
            "Refused",
            el("a", { href: lifeOfConnection(tenant_id, connection_id) }, "what it was refused"),
          ],
        ]),
      ),
    ),
    card("Rooms", { flush: true }, rooms.element),
  );
}

/** Shows one connection. */
export function showConnection(ctx, place, { connection_id }) {
  const path = `/v1/connections/${segment(connection_id)}`;
  const content = slot();
  const disconnect = async () => {
    const is_done = await confirmed({
      title: "Disconnect this client?",
      text: `${connection_id} is closed at once. Its token stays good: to keep it out, revoke it.`,
      confirm: "Disconnect",
      act: () => ctx.api.remove(path),
    });
    if (!is_done) return;
    toast("The client was disconnected.", "ok");
    ctx.go("#/connections");
  };
  const load = async () => {
    try {
      const connection = await ctx.api.get(path, {}, ctx.signal);
      content.show(cards(connection, ctx.now()));
    } catch (error) {
      if (!ctx.signal.aborted) content.show(errorNotice(error, load));
    }
  };
  place.append(
    pageHead({
      title: connection_id,
      crumb: { href: "#/connections", text: "Connections" },
      actions: [
        el("button", { type: "button", onclick: load }, "Refresh"),
        el("button", { type: "button", class: "danger", onclick: disconnect }, "Disconnect…"),
      ],
    }),
    content.element,
  );
  load();
}
