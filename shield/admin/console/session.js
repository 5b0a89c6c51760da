// The admin's token: kept in this tab's sessionStorage, sent in a header only, gone when the tab is.
// Says who the token is for; whether it is good only the Shield knows.

const KEY = "arqon-admin-token";

/** The token of this tab, or undefined. */
export function storedToken() {
  return sessionStorage.getItem(KEY) ?? undefined;
}

/** Keeps the token for this tab; without one, forgets it. */
export function storeToken(token) {
  if (token === undefined) sessionStorage.removeItem(KEY);
  else sessionStorage.setItem(KEY, token);
}

/** A token as pasted, without what came along: blanks, line breaks, `Bearer`, quotes. */
export function cleanToken(text) {
  return text.trim().replace(/^["']|["']$/g, "").replace(/^Bearer\s+/i, "").replaceAll(/\s/g, "");
}

/** What the token says of itself, unverified: for display only. */
export function describeToken(token) {
  try {
    const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(payload), (character) => character.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes));
    return {
      user_id: typeof claims.sub === "string" ? claims.sub : "unknown user",
      tenant_id: typeof claims.tenant_id === "string" ? claims.tenant_id : "",
      expires_ms: typeof claims.exp === "number" ? claims.exp * 1_000 : undefined,
    };
  } catch {
    return { user_id: "unknown user", tenant_id: "", expires_ms: undefined };
  }
}
