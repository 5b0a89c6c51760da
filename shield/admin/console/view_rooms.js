// The rooms that somebody is subscribed to, or those whose log has messages. One of them is `view_room.js`.
import { segment } from "./api.js";
import { count } from "./format.js";
import { ROWS_MAX, showList } from "./list_view.js";

const COLUMNS = [
  {
    id: "room",
    label: "Room",
    value: ({ room_id }) => room_id,
    cell: ({ tenant_id, room_id }) => ({
      text: room_id,
      href: `#/rooms/${segment(tenant_id)}/${segment(room_id)}`,
    }),
  },
  {
    id: "tenant",
    label: "Tenant",
    value: ({ tenant_id }) => tenant_id,
    cell: ({ tenant_id }) => tenant_id,
  },
  {
    id: "durable",
    label: "Log",
    value: ({ durable }) => Number(durable === true),
    cell: ({ durable }) => durable ? { text: "durable", tone: "ok" } : { text: "none", dim: true },
  },
  {
    id: "subscribers",
    label: "Subscribers",
    numeric: true,
    value: ({ subscribers }) => subscribers,
    cell: ({ subscribers }) => count(subscribers),
  },
  {
    id: "messages",
    label: "Messages",
    numeric: true,
    about: "Since the room was opened on these Shields",
    value: ({ messages }) => messages,
    cell: ({ messages }) => count(messages),
  },
  {
    id: "nodes",
    label: "Shields",
    value: ({ nodes }) => nodes?.length,
    cell: ({ nodes = [] }) => ({ text: nodes.join(", "), title: nodes.join(", "), dim: true }),
  },
];

/** Rooms with stored messages, by their names, each with who is subscribed to it now. */
async function storedRooms({ api }, { tenant, prefix }, signal) {
  const [stored, open] = await Promise.all([
    api.get("/v1/rooms/stored", { tenant, prefix, limit: ROWS_MAX }, signal),
    api.get("/v1/rooms", { tenant, prefix, limit: ROWS_MAX }, signal),
  ]);
  const { tenant_id, rooms, next } = stored;
  const heard = new Map(
    open.rooms.filter((room) => room.tenant_id === tenant_id).map((room) => [room.room_id, room]),
  );
  const none = { tenant_id, durable: true, subscribers: 0, messages: 0, nodes: [] };
  // The log of a room with a reducer has a name of its own, beside that of its messages.
  const names = new Set(rooms.map((name) => name.replace(/(?<=.)~reducer$/, "")));
  const rows = [...names].map((room_id) => heard.get(room_id) ?? { ...none, room_id });
  return { rows, truncated: next !== null, nodes: open.nodes };
}

const WHICH = [["", "with subscribers"], ["stored", "with stored messages"]];

/** Shows the list of rooms. */
export function showRooms(ctx, place) {
  showList(ctx, place, {
    title: "Rooms",
    about:
      "Rooms that somebody is subscribed to, over all Shields; or durable rooms of one tenant " +
      "whose log has messages, also where nobody is.",
    noun: ["room", "rooms"],
    fields: [
      { name: "which", label: "Rooms", options: WHICH },
      { name: "tenant", label: "Tenant", placeholder: "exact id" },
      { name: "prefix", label: "Name begins with", placeholder: "chat-" },
      { name: "find", label: "Find in these rows", placeholder: "any text", wide: true },
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
