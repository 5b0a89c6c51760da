// The page without a token: one field, and what the server said when it refused.
import { el, setText } from "./element.js";
import { cleanToken } from "./session.js";

/** What the server said, and what to do about a token of another bus. */
function refusalText({ message, reason }) {
  if (reason !== "token-issuer") return message;
  return `${message}. It is a token for another bus; arq context show says which bus, key and ` +
    "issuer arq takes.";
}

/**
 * Shows the form. `signIn(token)` resolves when the token is good and rejects with the reason when it
 * is not; `problem` is why the last session ended.
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
          "Paste a token of role admin. It stays in this tab and is gone when you close it. " +
          "On the development bus, make one with ",
          el("code", "arq auth gen --role admin"),
          ".",
        ]),
        form,
      ]),
    ]),
  );
  token.focus();
}
