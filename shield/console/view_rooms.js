// Rooms: the list, and one of them with its class, its members and a tail.
import { segment } from "./api.js";
import { el } from "./element.js";
import { ago, count, moment, plural, textOf } from "./format.js";
import { ROWS_MAX, showList } from "./list_view.js";
import { badge, card, errorNotice, facts, pageHead, slot } from "./page.js";
import { createTable } from "./table.js";
import { createTail } from "./tail.js";

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

function memberColumns(now) {
  return [
    {
      id: "user",
      label: "User",
      value: ({ user_id }) => user_id,
      cell: ({ user_id }) => ({ text: user_id ?? "", title: user_id }),
    },
    {
      id: "meta",
      label: "Metadata",
      wide: true,
      value: ({ meta }) => textOf(meta, 400),
      cell: ({ meta }) => ({ text: textOf(meta, 400), mono: true }),
    },
    {
      id: "joined",
      label: "Joined",
      value: ({ joined_ms }) => joined_ms,
      cell: ({ joined_ms }) => ({ text: ago(joined_ms, now()), title: moment(joined_ms) }),
    },
    {
      id: "connection",
      label: "Connection",
      value: ({ connection_id }) => connection_id,
      cell: ({ connection_id }) => ({
        text: connection_id,
        href: `#/connections/${segment(connection_id)}`,
        mono: true,
      }),
    },
  ];
}

const FIRST_FACTS = new Set([
  "tenant_id",
  "room_id",
  "class",
  "members",
  "member_count",
  "user_count",
  "subscribers",
  "truncated",
  "nodes",
]);

function roomFacts(room) {
  const others = Object.entries(room).filter(([name]) => !FIRST_FACTS.has(name));
  return facts([
    ["Subscribers", count(room.subscribers)],
    ["Members", `${count(room.member_count)} (${plural(room.user_count ?? 0, "user")})`],
    ...others.map(([name, value]) => [
      name.replaceAll("_", " "),
      figureText(value),
    ]),
  ]);
}

function figureText(value) {
  if (typeof value === "number") return count(value);
  return Array.isArray(value) ? value.join(", ") : textOf(value, 400);
}

function classFacts(room_class = {}) {
  return facts(
    Object.entries(room_class).map(([name, value]) => [
      name.replaceAll("_", " "),
      value === null ? "–" : figureText(value),
    ]),
  );
}

/** Shows one room until the returned function is called. */
export function showRoom(ctx, place, { tenant_id, room_id }) {
  const path = `/v1/rooms/${segment(tenant_id)}/${segment(room_id)}`;
  const trouble = slot();
  const figures = slot();
  const members = createTable({
    caption: "Members",
    columns: memberColumns(ctx.now),
    key: ({ connection_id }) => connection_id,
    sort: { id: "user", direction: "ascending" },
    empty: "No member. Who subscribes with presence is a member.",
  });
  const tail = createTail(ctx, tenant_id, room_id);
  const load = async () => {
    try {
      const room = await ctx.api.get(path, {}, ctx.signal);
      trouble.show();
      figures.show(el(
        "div",
        { class: "columns" },
        card("Now", {}, roomFacts(room)),
        card("Class", {}, classFacts(room.class)),
      ));
      members.show(room.members ?? []);
    } catch (error) {
      if (!ctx.signal.aborted) trouble.show(errorNotice(error, load));
    }
  };
  place.append(
    pageHead({
      title: room_id,
      crumb: { href: "#/rooms", text: "Rooms" },
      actions: [
        badge(`tenant ${tenant_id}`),
        el("a", {
          class: "button",
          href: `#/connections?tenant=${segment(tenant_id)}&room=${segment(room_id)}`,
        }, "Its connections"),
        el("button", { type: "button", onclick: load }, "Refresh"),
      ],
    }),
    el(
      "div",
      { class: "stack" },
      trouble.element,
      tail.element,
      card("Members", { flush: true }, members.element),
      figures.element,
    ),
  );
  trouble.show();
  load();
  return () => tail.close();
}
