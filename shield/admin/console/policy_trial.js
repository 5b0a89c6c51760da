// The card for a trial of a module, without upload, on a page's recorded decisions. `trial_run.js` runs it;
// `policy_flips.js` shows the result.
import { el, setText } from "./element.js";
import { bytes as sizeText, plural } from "./format.js";
import { card, errorNotice, slot } from "./page.js";
import { resultParts } from "./policy_flips.js";
import { answerOf, BOUNDS, failure, runTrial } from "./trial_run.js";

const MODULE_BYTES = 16_777_216;
/** The default of `[platform.overseer] memory_limit_pages`. */
const MEMORY_PAGES = 64;

/** The problem of a file, checked before the trial; undefined if there is none. */
function obstacle(file) {
  if (file === undefined) return "Choose a module (.wasm) first.";
  if (file.size > MODULE_BYTES) return `The file has more than ${sizeText(MODULE_BYTES)}.`;
  // Browsers offer digests only to pages from https or localhost.
  return isSecureContext ? undefined : "Open the console over https or on localhost for a trial.";
}

/**
 * A card for trials of a module: `setWindow({tenant, policy, room, from_ms, until_ms})` selects the decisions,
 * `stop()` ends the trial. `onOpen(flip)` is called when a flip is opened.
 */
export class Trial {
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
        ? `one trial is limited to ${plural(BOUNDS.time_ms / 60_000, "minute")}`
        : undefined;
      if (why !== undefined && seen.tally !== undefined) return show(why);
      setText(this.#status, why === undefined ? "" : `Nothing was repeated: ${why}.`);
      if (why === undefined) this.#found.show(errorNotice(error));
    } finally {
      [this.#run.disabled, this.#halt.disabled] = [false, true];
    }
  }
}
