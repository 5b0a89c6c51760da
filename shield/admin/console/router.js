// Addresses of views: the part after `#`, for example `#/rooms/acme/lobby` or
// `#/connections?tenant=acme`. Pure; `main.js` listens to the browser.

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export const address = (...segments) => `#/${segments.map(encodeURIComponent).join("/")}`;

export function parseAddress(hash) {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  return {
    segments: path === "" ? [] : path.split("/").map(decoded),
    query: Object.fromEntries(new URLSearchParams(query)),
  };
}

/**
 * The first route whose path matches, with the values of its names: `rooms/:room_id` matches `#/rooms/lobby`. Undefined
 * if none matches.
 */
export function findRoute(routes, segments) {
  for (const route of routes) {
    const pattern = route.path === "" ? [] : route.path.split("/");
    if (pattern.length !== segments.length) continue;
    const values = {};
    const fits = pattern.every((part, index) => {
      if (part.startsWith(":")) values[part.slice(1)] = segments[index];
      return part.startsWith(":") || part === segments[index];
    });
    if (fits) return { route, values };
  }
  return undefined;
}

/** The address of the same view with these filters; empty ones are left out. */
export function withQuery(hash, values) {
  const [path] = hash.split("?");
  const query = new URLSearchParams(Object.entries(values).filter(([, value]) => value !== ""));
  const text = query.toString();
  const whole = path === "" ? "#/" : path;
  return text === "" ? whole : `${whole}?${text}`;
}
