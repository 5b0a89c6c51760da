// The playground: one room with a publishing form, its live messages, its members and the policies'
// verdicts side by side. It acts as the admin, by the same requests as a room's page.
import { segment } from "./api.js";
import { plain, since, wide } from "./columns.js";
import { el } from "./element.js";
import { plural, textOf } from "./format.js";
import { isHole, lineCard, lineColumns, readLines } from "./journal_lines.js";
import { errorNotice, filterForm, pageHead, slot, tableCard } from "./page.js";
import { createPublishCard } from "./room_publish.js";
import { Tail } from "./tail.js";

/** The members are read at this interval while the page is visible. */
const LOOK_MS = 2_000;
/** The time of the journal that is read, and the number of its newest lines that are shown. */
const BACK_MS = 600_000;
const ROWS_MAX = 50;
/** A verdict is stored with a delay: the number of attempts to read it, and the pause between them. */
const TRIES = 8;
const TRY_MS = 400;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const memberColumns = (now) => [
  plain("user", "User", "user_id"),
  wide("meta", "Metadata", ({ meta }) => textOf(meta, 400)),
  since("joined", "Joined", "joined_ms", now),
];

/** The current members of the room, until `signal` is aborted. */
function createPeople(ctx, path, signal) {
  const trouble = slot();
  const words = el("p.hint", "Loading…");
  const table = tableCard("Members", {
    columns: memberColumns(ctx.now),
    key: ({ connection_id }) => connection_id,
    sort: { id: "user", direction: "ascending" },
    empty: "No member. Clients that subscribe with presence are members.",
    actions: [words],
    above: trouble,
  });
  async function look() {
    try {
      const room = await ctx.api.get(path, {}, signal);
      trouble.show();
      words.textContent = `${plural(room.subscribers ?? 0, "subscriber")}, ${
        plural(room.member_count ?? 0, "member")
      }.`;
      table.show(room.members ?? []);
    } catch (error) {
      if (!signal.aborted) trouble.show(errorNotice(error, look));
    }
  }
  async function follow() {
    while (!signal.aborted) {
      if (document.visibilityState === "visible") await look();
      await pause(LOOK_MS);
    }
  }
  void follow();
  return table;
}

/** The newest decisions in the room. */
class Verdicts {
  element;
  #ctx;
  #where;
  #signal;
  #newest;
  #trouble = slot();
  #opened = slot();
  #table;

  constructor(ctx, { tenant_id, room_id }, signal) {
    this.#ctx = ctx;
    this.#where = { tenant: tenant_id, room: room_id };
    this.#signal = signal;
    this.#table = tableCard("Verdicts", {
      columns: lineColumns((line) => this.#opened.show(lineCard(line))),
      key: (line) => (isHole(line) ? JSON.stringify(line.hole) : line.id),
      sort: { id: "at", direction: "descending" },
      empty: "Nothing was recorded. [journal] of the configuration says what is recorded.",
      actions: [el("button", { onclick: () => void this.load() }, "Read again")],
      above: this.#trouble,
    });
    this.element = el("div.stack", this.#table, this.#opened);
  }

  /** Reads the journal again and shows it; returns whether there is a new decision. */
  async load() {
    try {
      const lines = await this.#read();
      this.#trouble.show();
      this.#table.show(lines);
      const newest = lines.findLast((line) => !isHole(line))?.id;
      const is_new = newest !== this.#newest;
      this.#newest = newest;
      return is_new;
    } catch (error) {
      if (!this.#signal.aborted) this.#trouble.show(errorNotice(error, () => void this.load()));
      return true;
    }
  }

  /** Reads until the decision about the sent message is stored, or for some seconds. */
  async expect() {
    for (let tries = 0; tries < TRIES && !this.#signal.aborted; tries++) {
      if (await this.load()) return;
      await pause(TRY_MS);
    }
  }

  async #read() {
    const since_ms = Math.floor(this.#ctx.now() - BACK_MS);
    const query = { ...this.#where, since_ms, limit: ROWS_MAX, newest: "1" };
    return (await readLines(this.#ctx.api, query, this.#signal)).lines;
  }
}

/** The four cards of one room, and a function that stops them. */
function openRoom(ctx, address) {
  const ended = new AbortController();
  const signal = AbortSignal.any([ctx.signal, ended.signal]);
  const { tenant_id, room_id } = address;
  const verdicts = new Verdicts(ctx, address, signal);
  const tail = new Tail(ctx, tenant_id, room_id);
  const path = `/v1/rooms/${segment(tenant_id)}/${segment(room_id)}`;
  void verdicts.load();
  return {
    element: el("div.columns", [
      el("div.stack", [createPublishCard(ctx, address, () => void verdicts.expect()), verdicts]),
      el("div.stack", tail, createPeople(ctx, path, signal)),
    ]),
    close() {
      ended.abort(new DOMException("another room", "AbortError"));
      tail.close();
    },
  };
}

const FIELDS = [
  { name: "tenant", label: "Tenant" },
  { name: "room", label: "Room", placeholder: "exact id, for example lobby" },
];

export function showPlayground(ctx, place) {
  const body = slot();
  let room;
  let shown = "";
  function show({ tenant, room: room_id }) {
    const tenant_id = tenant || (ctx.only_tenant ?? "default");
    const wanted = room_id === "" ? "" : `${tenant_id} ${room_id}`;
    if (room !== undefined && wanted === shown) return;
    room?.close();
    room = wanted === "" ? undefined : openRoom(ctx, { tenant_id, room_id });
    shown = wanted;
    ctx.setQuery({ tenant, room: room_id });
    body.show(
      room?.element ??
        el("p.empty", "Name a room. Any id will do: a room needs no creation."),
    );
  }
  const { tenant = "", room: room_id = "" } = ctx.query;
  const fields = FIELDS.map((field) =>
    field.name === "tenant" ? { ...field, placeholder: ctx.only_tenant ?? "default" } : field
  );
  place.append(
    pageHead({
      title: "Playground",
      about: "One room for trials: its form, messages and members, and the verdicts of policies. " +
        "You publish in your own name, and all subscribers of the room receive it.",
    }),
    el("div.stack", filterForm(fields, { tenant, room: room_id }, show), body),
  );
  show({ tenant, room: room_id });
  return () => room?.close();
}
