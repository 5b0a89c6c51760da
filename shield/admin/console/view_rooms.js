// The rooms with subscribers, or those with stored messages. `view_room.js` shows one of them.
import { column, linked, plain } from "./columns.js";
import { count } from "./format.js";
import { ROWS_MAX, showList } from "./list_view.js";
import { exact } from "./page.js";
import { address } from "./router.js";

const COLUMNS = [
  linked("room", "Room", "room_id", (id, { tenant_id }) => address("rooms", tenant_id, id)),
  plain("tenant", "Tenant", "tenant_id", ""),
  column(
    "durable",
    "Log",
    ({ durable }) => Number(durable === true),
    (is_durable) => is_durable ? { text: "durable", tone: "ok" } : { text: "none", dim: true },
  ),
  column("subscribers", "Subscribers", "subscribers", count, { numeric: true }),
  column("messages", "Messages", "messages", count, {
    numeric: true,
    about: "Since the room was opened on these Shields",
  }),
  column("nodes", "Shields", ({ nodes }) => nodes?.length, (_number, { nodes = [] }) => ({
    text: nodes.join(", "),
    title: nodes.join(", "),
    dim: true,
  })),
];

/** Rooms with stored messages, by name, each with its current subscribers. */
async function storedRooms({ api }, { tenant, prefix }, signal) {
  const [stored, open] = await Promise.all([
    api.get("/v1/rooms/stored", { tenant, prefix, limit: ROWS_MAX }, signal),
    api.get("/v1/rooms", { tenant, prefix, limit: ROWS_MAX }, signal),
  ]);
  const { tenant_id, rooms, next } = stored;
  const by_id = new Map(
    open.rooms.filter((room) => room.tenant_id === tenant_id).map((room) => [room.room_id, room]),
  );
  const none = { tenant_id, durable: true, subscribers: 0, messages: 0, nodes: [] };
  // A room with a reducer has a second log, with its own name, beside that of its messages.
  const names = new Set(rooms.map((name) => name.replace(/(?<=.)~reducer$/, "")));
  const rows = [...names].map((room_id) => by_id.get(room_id) ?? { ...none, room_id });
  return { rows, truncated: next !== null, nodes: open.nodes };
}

const WHICH = [["", "with subscribers"], ["stored", "with stored messages"]];

export function showRooms(ctx, place) {
  showList(ctx, place, {
    title: "Rooms",
    about: "Rooms with subscribers on any Shield; or durable rooms of one tenant with stored " +
      "messages, with or without subscribers.",
    noun: ["room", "rooms"],
    fields: [
      { name: "which", label: "Rooms", options: WHICH },
      exact("tenant"),
      { name: "prefix", label: "Name begins with", placeholder: "chat-" },
    ],
    columns: COLUMNS,
    key: ({ tenant_id, room_id }) => `${tenant_id}/${room_id}`,
    sort: { id: "subscribers", direction: "descending" },
    server_sort: { subscribers: "subscribers", messages: "messages" },
    empty: "No room is open. A room opens when a client subscribes to it.",
    async load({ which, tenant, prefix }, sort, signal) {
      if (which === "stored") return await storedRooms(ctx, { tenant, prefix }, signal);
      const query = { tenant, prefix, sort, limit: ROWS_MAX };
      const answer = await ctx.api.get("/v1/rooms", query, signal);
      return { ...answer, rows: answer.rooms };
    },
  });
}
