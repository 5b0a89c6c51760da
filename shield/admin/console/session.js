// The admin's token, which only the Shield can verify. It is stored in this tab's
// sessionStorage, sent in a header only, and deleted with the tab.

const KEY = "arqon-admin-token";

/** The token of this tab, or undefined. */
export function storedToken() {
  return sessionStorage.getItem(KEY) ?? undefined;
}

/** Stores the token for this tab, or deletes the stored one if the argument is undefined. */
export function storeToken(token) {
  if (token === undefined) sessionStorage.removeItem(KEY);
  else sessionStorage.setItem(KEY, token);
}

/** A pasted token without blanks, line breaks, `Bearer` and quotes. */
export function cleanToken(text) {
  return text.trim().replace(/^["']|["']$/g, "").replace(/^Bearer\s+/i, "").replaceAll(/\s/g, "");
}

/** The token's unverified claims, for display only. */
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
