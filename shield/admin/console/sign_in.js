// The sign-in page: one field, and the server's message after a refusal.
import { el, setText } from "./element.js";
import { cleanToken } from "./session.js";

/** The server's message, and what to do about a token of another bus. */
function refusalText({ message, reason }) {
  if (reason !== "token-issuer") return message;
  return `${message}. This token is for another bus; arq context show shows the bus, key and ` +
    "issuer of arq.";
}

/**
 * Shows the form. `signIn(token)` resolves if the token is valid and rejects with the reason otherwise; `problem` is
 * why the last session ended.
 */
export function showSignIn(place, { signIn, problem = "" }) {
  const words = el("p.problem", { role: "alert", id: "sign-in-problem" }, problem);
  const token = el("input", {
    type: "password",
    name: "token",
    required: true,
    autocomplete: "off",
    spellcheck: "false",
    "aria-describedby": "sign-in-hint sign-in-problem",
  });
  const button = el("button.primary", { type: "submit" }, "Sign in");
  const form = el("form", el("label", "Admin token", token), words, button);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.disabled) return;
    button.disabled = true;
    setText(words, "");
    try {
      await signIn(cleanToken(token.value));
    } catch (error) {
      setText(words, refusalText(error));
      token.select();
    } finally {
      button.disabled = false;
    }
  });
  place.append(
    el("main.sign-in", { id: "main", tabindex: -1 }, [
      el("div.card", [
        el("h1", "ArqonBus console"),
        el("p.hint", { id: "sign-in-hint" }, [
          "Paste a token of role admin. It is stored in this tab and deleted when you close it. " +
          "On the development bus, create one with ",
          el("code", "arq auth gen --role admin"),
          ".",
        ]),
        form,
      ]),
    ]),
  );
  token.focus();
}
