// One room: its class, log, state, members and lock, its live and stored messages, and an admin's actions
// in it.
import { segment } from "./api.js";
import { action, column, since, titled } from "./columns.js";
import { el } from "./element.js";
import { ago, count, digits, duration, moment, plural, textOf } from "./format.js";
import { askBan, askKick } from "./moderation.js";
import { badge, card, errorNotice, facts, loaded, pageHead, slot, tableCard } from "./page.js";
import { createHistoryCard } from "./room_history.js";
import { createPastCard } from "./room_past.js";
import { createPublishCard } from "./room_publish.js";
import { createStateCard } from "./room_state.js";
import { address } from "./router.js";
import { Tail } from "./tail.js";

const memberColumns = (now, kick, ban) => [
  titled("user", "User", "user_id"),
  column("meta", "Metadata", ({ meta }) => textOf(meta, 400), (text) => ({ text, mono: true }), {
    wide: true,
  }),
  since("joined", "Joined", "joined_ms", now),
  column("connection", "Connection", "connection_id", (text) => ({
    text,
    href: address("connections", text),
    mono: true,
  })),
  action("kick", "Kick", "Kick…", (member) => `Kick ${named(member)}`, kick),
  action("ban", "Ban", "Ban…", (member) => `Ban ${named(member)}`, ({ user_id }) => ban(user_id)),
];

const named = ({ user_id, connection_id }) => `${user_id}, connection ${connection_id}`;
const nodeLink = (node_id) => el("a", { href: `#/nodes/${segment(node_id)}` }, node_id);
const listed = (items) =>
  el("span", items.flatMap((item, at) => (at === 0 ? [item] : [", ", item])));

/** Operators get links to nodes; the admin of one tenant gets only the names. */
function nowFacts({ only_tenant }, room) {
  const named = (node_id) => (only_tenant === undefined ? nodeLink(node_id) : node_id);
  return facts([
    ["Subscribers", count(room.subscribers)],
    ["Members", `${count(room.member_count)} (${plural(room.user_count ?? 0, "user")})`],
    ["Messages", `${count(room.messages)} since it was opened`],
    ["Shields", room.shields?.length > 0 ? listed(room.shields.map(named)) : "none"],
    ["Brain", room.brain_id === undefined ? "none answers" : named(room.brain_id)],
  ]);
}

function storedFacts({ stored, stored_problem }) {
  if (stored === undefined) return el("p.problem", stored_problem);
  return facts([
    ["Stored", plural(stored.messages, "message")],
    ["First offset", count(stored.first_offset)],
    ["Last offset", stored.last_offset === 0 ? "–" : count(stored.last_offset)],
    ["Epoch", stored.epoch],
  ]);
}

function lockFacts({ lock }, now_ms) {
  if (lock === undefined) return el("p.hint", "No Brain answers: the lock's holder is unknown.");
  if (lock === null) return el("p.hint", "Nobody holds it.");
  const { user_id, connection_id, since_ms, until_ms, fence } = lock;
  const holder = connection_id === ""
    ? "none: only its fence shows who holds it"
    : el("a", { href: `#/connections/${segment(connection_id)}` }, connection_id);
  return facts([
    ["Holder", user_id],
    ["Connection", holder],
    ["Fence", digits(fence)],
    ["Granted", `${moment(since_ms)} (${ago(since_ms, now_ms)})`],
    ["Lease ends", `${moment(until_ms)} (in ${duration(until_ms - now_ms)})`],
  ]);
}

function valueText(value) {
  if (value === null) return "–";
  if (typeof value === "number") return count(value);
  return Array.isArray(value) ? value.join(", ") : textOf(value, 400);
}

/** The members of an object, with readable names. */
function memberFacts(members = {}) {
  return facts(
    Object.entries(members).map(([name, value]) => [name.replaceAll("_", " "), valueText(value)]),
  );
}

const hasReducer = (room) => typeof room.class?.reducer === "string";
const isDurable = (room) => room.class?.durable === true;

function figureCards(ctx, room) {
  return el("div.columns", [
    el("div.stack", [
      card("Now", nowFacts(ctx, room)),
      isDurable(room) && card("Log", storedFacts(room)),
      card("Lock", lockFacts(room, ctx.now())),
    ]),
    card("Class", memberFacts(room.class)),
  ]);
}

function head({ tenant_id, room_id }, load) {
  const there = `tenant=${segment(tenant_id)}&room=${segment(room_id)}`;
  return pageHead({
    title: room_id,
    crumb: { href: "#/rooms", text: "Rooms" },
    actions: [
      badge(`tenant ${tenant_id}`),
      el("a.button", { href: `#/connections?${there}` }, "Its connections"),
      el("a.button", { href: `#/bans?${there}` }, "Its bans"),
      el("button", { onclick: load }, "Refresh"),
    ],
  });
}

/** The members, each with an admin's actions. */
function createMembers(ctx, address, load) {
  const after = async (asking) => {
    if (await asking) load();
  };
  const kick = (member) => after(askKick(ctx, address, member));
  const ban = (user_id) => after(askBan(ctx, address, user_id));
  return tableCard("Members", {
    columns: memberColumns(ctx.now, kick, ban),
    key: ({ connection_id }) => connection_id,
    sort: { id: "user", direction: "ascending" },
    empty: "No member. Clients that subscribe with presence are members.",
    actions: [el("button", { onclick: () => ban(undefined) }, "Ban a user…")],
  });
}

/** The cards of other capabilities, each with the answer of its route. */
function createOtherCards(ctx, { tenant_id, room_id }) {
  return ctx.room_cards.map(({ title, path }) => {
    const there = path.replace("{tenant}", segment(tenant_id)).replace("{room}", segment(room_id));
    const body = loaded(ctx, async () => memberFacts(await ctx.api.get(there, {}, ctx.signal)));
    return { element: card(title, body), load: body.load };
  });
}

/** Shows one room until the returned function is called. */
export function showRoom(ctx, place, address) {
  const path = `/v1/rooms/${segment(address.tenant_id)}/${segment(address.room_id)}`;
  const trouble = slot();
  const figures = slot();
  const kept = slot();
  const past = slot();
  const members = createMembers(ctx, address, () => load());
  const state = createStateCard(ctx, address);
  const others = createOtherCards(ctx, address);
  const tail = new Tail(ctx, address.tenant_id, address.room_id);
  let has_history = false;
  let has_past = false;

  async function loadRoom() {
    try {
      const room = await ctx.api.get(path, {}, ctx.signal);
      trouble.show();
      figures.show(figureCards(ctx, room));
      members.show(room.members ?? []);
      if (isDurable(room) && !has_history) kept.show(createHistoryCard(ctx, address));
      has_history ||= isDurable(room);
      if (hasReducer(room) && !has_past) past.show(createPastCard(ctx, address));
      has_past ||= hasReducer(room);
    } catch (error) {
      if (!ctx.signal.aborted) trouble.show(errorNotice(error, load));
    }
  }
  const load = () =>
    void Promise.all([loadRoom(), state.load(), ...others.map((other) => other.load())]);

  place.append(
    head(address, load),
    el("div.stack", [
      ...[trouble, figures, tail, kept, past, members, state, others],
      createPublishCard(ctx, address, () => void loadRoom()),
    ]),
  );
  load();
  return () => tail.close();
}
