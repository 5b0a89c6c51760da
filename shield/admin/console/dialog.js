// Confirmation dialogs for irreversible actions, and toasts. The browser's <dialog> keeps the focus inside
// and restores it, and Escape cancels.
import { el, setText } from "./element.js";

const TOAST_MS = 6_000;
const TOASTS_MAX = 4;

/** Shows a short message; screen readers read it out. `tone` is ok, bad or undefined. */
export function toast(text, tone) {
  const place = document.getElementById("toasts");
  const box = el("p", { class: `toast ${tone ?? ""}` }, text);
  place.append(box);
  while (place.children.length > TOASTS_MAX) place.firstChild.remove();
  setTimeout(() => box.remove(), TOAST_MS);
}

/**
 * Asks for confirmation and then calls `act` while the dialog is open; the dialog shows its error. With `typed`, the
 * user has to type that text first; `fields` are inputs that `act` reads. Resolves to whether `act` succeeded, and
 * then shows `done()` as a toast.
 */
export function confirmed({ title, text, confirm, typed, fields = [], act, done }) {
  const { promise, resolve } = Promise.withResolvers();
  const problem = el("p.problem", { role: "alert" });
  const input = typed === undefined ? undefined : el("input", {
    type: "text",
    autocomplete: "off",
    spellcheck: "false",
    "aria-describedby": "dialog-text",
    oninput: () => allow(),
  });
  const yes = el("button.primary.danger", { type: "submit" }, confirm);
  const no = el("button", { onclick: () => dialog.close() }, "Cancel");
  const form = el("form", [
    el("h2", { id: "dialog-title" }, title),
    el("p", { id: "dialog-text" }, text),
    fields,
    input && el("label", `Type ${typed} to confirm`, input),
    problem,
    el("div.actions", no, yes),
  ]);
  const dialog = el("dialog", {
    "aria-labelledby": "dialog-title",
    "aria-describedby": "dialog-text",
  }, [form]);
  let is_done = false;

  function allow() {
    yes.disabled = input !== undefined && input.value.trim() !== typed;
  }
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (yes.disabled) return;
    yes.disabled = true;
    try {
      await act();
      is_done = true;
      dialog.close();
    } catch (error) {
      setText(problem, error.message);
      allow();
    }
  });
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (is_done) toast(done(), "ok");
    resolve(is_done);
  });
  allow();
  document.body.append(dialog);
  dialog.showModal();
  // Cancel has the focus, so that an accidental Enter does nothing.
  (input ?? no).focus();
  return promise;
}

/** Cancels the open dialog, because its view is closed. */
export function closeDialogs() {
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
}
