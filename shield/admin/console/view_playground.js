// The playground: one room to try things in, with what is sent, what arrives, who is there and what the
// policies said of it side by side. It acts as the admin, by the same requests as the page of a room.
import { segment } from "./api.js";
import { plain, since, wide } from "./columns.js";
import { el } from "./element.js";
import { plural, textOf } from "./format.js";
import { isHole, lineCard, lineColumns, readLines } from "./journal_lines.js";
import { errorNotice, filterForm, pageHead, slot, tableCard } from "./page.js";
import { createPublishCard } from "./room_publish.js";
import { createTail } from "./tail.js";

/** Who is there is asked so often while the page is seen. */
const LOOK_MS = 2_000;
/** The journal is read from so long ago on, and so many of its newest lines are shown. */
const BACK_MS = 600_000;
const ROWS_MAX = 50;
/** A verdict is stored a moment after it fell: so often, and in such pauses, it is looked for. */
const TRIES = 8;
const TRY_MS = 400;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const memberColumns = (now) => [
  plain("user", "User", "user_id"),
  wide("meta", "Metadata", ({ meta }) => textOf(meta, 400)),
  since("joined", "Joined", "joined_ms", now),
];

/** Who is in the room, as of now, until `signal` is aborted. */
function createPeople(ctx, path, signal) {
  const trouble = slot();
  const words = el("p.hint", "Loading…");
  const table = tableCard("Who is there", {
    columns: memberColumns(ctx.now),
    key: ({ connection_id }) => connection_id,
    sort: { id: "user", direction: "ascending" },
    empty: "No member. Who subscribes with presence is a member.",
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

/** What was decided in the room, the newest of the last minutes. */
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
      empty: "Nothing was recorded. [journal] of the configuration says what is.",
      actions: [el("button", { onclick: () => void this.load() }, "Read again")],
      above: this.#trouble,
    });
    this.element = el("div.stack", this.#table, this.#opened);
  }

  /** Reads the journal anew and shows it; whether there is a decision that was not there before. */
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

  /** Reads until the decision about what was just sent is there, or for some seconds. */
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

/** The four cards of one room, and how to end what they began. */
function openRoom(ctx, address) {
  const ended = new AbortController();
  const signal = AbortSignal.any([ctx.signal, ended.signal]);
  const { tenant_id, room_id } = address;
  const verdicts = new Verdicts(ctx, address, signal);
  const tail = createTail(ctx, tenant_id, room_id);
  const path = `/v1/rooms/${segment(tenant_id)}/${segment(room_id)}`;
  void verdicts.load();
  return {
    element: el("div.columns", [
      el("div.stack", [
        createPublishCard(ctx, address, () => void verdicts.expect()),
        verdicts,
      ]),
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

/** Shows the playground. */
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
        el("p.empty", "Name a room. Nobody has to make one: any id will do."),
    );
  }
  const { tenant = "", room: room_id = "" } = ctx.query;
  const fields = FIELDS.map((field) =>
    field.name === "tenant" ? { ...field, placeholder: ctx.only_tenant ?? "default" } : field
  );
  place.append(
    pageHead({
      title: "Playground",
      about: "One room to try things in: what you send, what arrives, who is there, and what the " +
        "policies said. You speak as yourself, and everybody in the room hears it.",
    }),
    el("div.stack", filterForm(fields, { tenant, room: room_id }, show), body),
  );
  show({ tenant, room: room_id });
  return () => room?.close();
}
