// The list of rooms that somebody is subscribed to. One of them is `view_room.js`.
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

/** Shows the list of rooms. */
export function showRooms(ctx, place) {
  showList(ctx, place, {
    title: "Rooms",
    about: "Rooms that somebody is subscribed to, over all Shields.",
    noun: ["room", "rooms"],
    fields: [
      { name: "tenant", label: "Tenant", placeholder: "exact id" },
      { name: "prefix", label: "Name begins with", placeholder: "chat-" },
      { name: "find", label: "Find in these rows", placeholder: "any text", wide: true },
    ],
    columns: COLUMNS,
    key: ({ tenant_id, room_id }) => `${tenant_id}/${room_id}`,
    sort: { id: "subscribers", direction: "descending" },
    server_sort: { subscribers: "subscribers", messages: "messages" },
    empty: "No room is open. A room opens when a client subscribes to it.",
    async load({ tenant, prefix }, sort, signal) {
      const query = { tenant, prefix, sort, limit: ROWS_MAX };
      const answer = await ctx.api.get("/v1/rooms", query, signal);
      return { ...answer, rows: answer.rooms };
    },
  });
}
