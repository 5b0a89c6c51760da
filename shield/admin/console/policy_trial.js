// The card in which a module that is not uploaded is tried on the recorded decisions of a page. What runs, and
// where, is `trial_run.js`; how a result looks is `policy_flips.js`.
import { el, setText } from "./element.js";
import { bytes as sizeText, plural } from "./format.js";
import { card, errorNotice, slot } from "./page.js";
import { resultParts } from "./policy_flips.js";
import { answerOf, BOUNDS, failure, runTrial } from "./trial_run.js";

const MODULE_BYTES = 16_777_216;
/** As `[platform.overseer] memory_limit_pages` when nobody says another. */
const MEMORY_PAGES = 64;

/** What is wrong with a file before anything runs; undefined: nothing. */
function obstacle(file) {
  if (file === undefined) return "Choose a module (.wasm) first.";
  if (file.size > MODULE_BYTES) return `The file has more than ${sizeText(MODULE_BYTES)}.`;
  // Browsers give digests to pages of https and of this machine only.
  return isSecureContext ? undefined : "This needs the console over https, or on localhost.";
}

class Trial {
  #ctx;
  #onOpen;
  #window;
  #stop;
  #found = slot();
  #status = el("p.hint", { role: "status" });
  #file = el("input", { type: "file", accept: ".wasm,application/wasm" });
  #pages = el("input", { type: "number", min: "1", max: "65536", value: String(MEMORY_PAGES) });
  #run = el("button", { onclick: () => this.#start() }, "Try it");
  #halt = el("button", { onclick: () => this.stop() }, "Stop");
  element;

  constructor(ctx, onOpen) {
    this.#ctx = ctx;
    this.#onOpen = onOpen;
    this.#halt.disabled = true;
    this.element = card("Flips of another module", [
      el(
        "p",
        "The module runs in this browser on the decisions of this page's room and time. Nothing is uploaded.",
      ),
      el("label", "Module", this.#file),
      el("label", "Memory in 64 KiB pages", this.#pages),
      el("div.actions", this.#run, this.#halt),
      this.#status,
      this.#found,
    ]);
  }

  setWindow(window) {
    this.#window = window;
  }

  stop() {
    this.#stop?.abort();
  }

  async #start() {
    const [file] = this.#file.files;
    const wrong = obstacle(file);
    if (wrong !== undefined) return this.#found.show(errorNotice(failure(wrong)));
    const stop = (this.#stop = new AbortController());
    const late = AbortSignal.timeout(BOUNDS.time_ms);
    const signal = AbortSignal.any([stop.signal, late, this.#ctx.signal]);
    const { policy } = this.#window;
    const seen = {};
    const show = (why) => {
      const parts = answerOf({ ...seen, source: file.name, policy, why });
      this.#found.show(...resultParts(parts, this.#onOpen));
    };
    const onTally = (tally, sha256, read_bytes) => {
      Object.assign(seen, { tally, sha256 });
      const { decisions } = tally;
      setText(this.#status, `${plural(decisions, "decision")}, ${sizeText(read_bytes)} read.`);
    };
    [this.#run.disabled, this.#halt.disabled] = [true, false];
    this.#found.show();
    setText(this.#status, "Reading the module.");
    try {
      const pages = Math.max(1, Math.floor(Number(this.#pages.value)) || MEMORY_PAGES);
      const { api } = this.#ctx;
      const module = new Uint8Array(await file.arrayBuffer());
      show(await runTrial({ api, module, pages, window: this.#window, signal, onTally }));
    } catch (error) {
      if (this.#ctx.signal.aborted) return;
      const why = stop.signal.aborted
        ? "it was stopped"
        : late.aborted
        ? `${plural(BOUNDS.time_ms / 60_000, "minute")} are the most of one trial`
        : undefined;
      if (why !== undefined && seen.tally !== undefined) return show(why);
      setText(this.#status, why === undefined ? "" : `Nothing was repeated: ${why}.`);
      if (why === undefined) this.#found.show(errorNotice(error));
    } finally {
      [this.#run.disabled, this.#halt.disabled] = [false, true];
    }
  }
}

/**
 * A card in which a module is tried: `setWindow({tenant, policy, room, from_ms, until_ms})` says on which
 * decisions, `stop()` ends what runs. `onOpen(flip)` is called with a flip that somebody wants to see whole.
 */
export function createTrial(ctx, onOpen) {
  return new Trial(ctx, onOpen);
}
