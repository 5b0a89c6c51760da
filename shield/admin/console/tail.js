// The live messages of a room, newest first: a bounded list from an event stream, drawn at most once a
// frame.
import { segment } from "./api.js";
import { el, setText } from "./element.js";
import { bytes, clock, count } from "./format.js";
import { messageRow } from "./message_row.js";
import { fullCard } from "./page.js";
import { createSseReader } from "./sse.js";

/** The maximum of messages in the list; older ones are removed. */
export const TAIL_ROWS = 500;

function gapRow(text, at_ms) {
  return el("li.gap", el("span.numeric", clock(at_ms)), el("span", text));
}

function gapText({ dropped = 0, reason }) {
  return dropped > 0
    ? `${count(dropped)} messages were left out: the room is faster than this tail.`
    : `Messages may have been lost on the way: ${reason}.`;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The queue of received messages, and how it is drawn. */
function createRows(list, now, tenant_id) {
  let waiting = [];
  let frame = 0;
  let is_paused = false;

  function draw() {
    frame = 0;
    if (is_paused || waiting.length === 0) return;
    list.prepend(...waiting.map((make) => make()).reverse());
    waiting = [];
    while (list.children.length > TAIL_ROWS) list.lastElementChild.remove();
  }
  return {
    add({ event, data }) {
      const value = parsed(data);
      if (value === undefined) return;
      const at_ms = now();
      waiting.push(
        event === "gap"
          ? () => gapRow(gapText(value), at_ms)
          : () => messageRow(value, bytes(value.size_bytes), tenant_id),
      );
      if (waiting.length > TAIL_ROWS) waiting.shift();
      if (frame === 0) frame = requestAnimationFrame(draw);
    },
    pause(wanted) {
      is_paused = wanted;
      draw();
    },
    clear() {
      waiting = [];
      list.replaceChildren();
    },
    close: () => cancelAnimationFrame(frame),
  };
}

/** `{element, close}`: the tail of a room; its button starts it. */
export class Tail {
  element;
  #api;
  #now;
  #path;
  #list = el("ol.messages");
  #log = el("div.tail", { role: "log", "aria-live": "off", tabindex: 0 }, this.#list);
  #status = el("p.hint", { role: "status" }, "Not started.");
  #start = el("button", { onclick: () => this.#toggle() });
  #pause = el("button", { onclick: () => this.#hold() }, "Pause");
  #rows;
  #stop;
  #is_paused = false;
  #seen = 0;

  constructor({ api, now }, tenant_id, room_id) {
    this.#api = api;
    this.#now = now;
    this.#path = `/v1/rooms/${segment(tenant_id)}/${segment(room_id)}/tail`;
    this.#rows = createRows(this.#list, now, tenant_id);
    this.#log.setAttribute("aria-label", `Messages of ${room_id}, newest first`);
    const clear = el("button", { onclick: () => this.#rows.clear() }, "Clear");
    this.element = fullCard("Live tail", [this.#status, this.#pause, clear, this.#start], [
      this.#log,
    ]);
    this.#say("Not started.");
  }

  /** Ends the stream. */
  close() {
    this.#stop?.abort(new DOMException("stopped", "AbortError"));
    this.#rows.close();
  }

  #say(text) {
    const is_live = this.#stop !== undefined;
    setText(this.#start, is_live ? "Stop" : "Start tail");
    this.#start.className = is_live ? "" : "primary";
    this.#pause.hidden = !is_live;
    setText(this.#status, text);
  }

  #hold() {
    this.#is_paused = !this.#is_paused;
    this.#pause.setAttribute("aria-pressed", String(this.#is_paused));
    setText(this.#pause, this.#is_paused ? "Continue" : "Pause");
    this.#rows.pause(this.#is_paused);
    this.#say(this.#is_paused ? `Paused; the newest ${TAIL_ROWS} are kept.` : this.#progress());
  }

  #progress() {
    return this.#seen === 0 ? "Live. Waiting for messages." : `Live, ${count(this.#seen)} so far.`;
  }

  async #toggle() {
    if (this.#stop !== undefined) {
      return this.#stop.abort(new DOMException("stopped", "AbortError"));
    }
    const mine = this.#stop = new AbortController();
    this.#say("Connecting…");
    let ending = "The Shield has ended the tail. Start it again to continue.";
    try {
      const stream = await this.#api.stream(this.#path, mine.signal);
      this.#say(this.#progress());
      await this.#read(stream);
    } catch (error) {
      ending = mine.signal.aborted ? "Stopped." : error.message;
    }
    this.#stop = undefined;
    this.#say(ending);
  }

  async #read(stream) {
    let announced_ms = 0;
    const reader = createSseReader((event) => {
      this.#seen++;
      this.#rows.add(event);
    });
    // `for await` over streams does not work in every browser.
    const pieces = stream.getReader();
    for (;;) {
      const { done, value } = await pieces.read();
      if (done) return;
      reader.push(value);
      if (this.#seen === 0 || this.#is_paused || this.#now() - announced_ms < 1_000) continue;
      announced_ms = this.#now();
      this.#say(this.#progress());
    }
  }
}
