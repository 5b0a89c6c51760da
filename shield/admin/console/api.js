// Calls the admin API of the Shield that served the page. The token goes into the Authorization
// header, never into a URL. Answers are parsed; refusals are thrown with the server's text.

const TIMEOUT_MS = 15_000;

/** A refusal of the server, or no answer at all (status 0). */
export class ApiError extends Error {
  constructor(status, title, detail, reason) {
    super(detail === "" ? title : detail);
    this.status = status;
    this.title = title;
    this.reason = reason;
  }
}

function unreachable(cause) {
  const waited = cause?.name === "TimeoutError";
  const title = waited ? "The Shield did not answer in time" : "The Shield does not answer";
  const detail = `${location.host} ${
    waited ? `gave no answer within ${TIMEOUT_MS / 1_000} seconds` : "cannot be reached"
  }. Check that the process runs and that this machine reaches its admin port, then try again.`;
  return new ApiError(0, title, detail, "unreachable");
}

async function refusal(response) {
  const fallback = `HTTP ${response.status}`;
  try {
    const problem = await response.json();
    const { title = fallback, detail = "", reason = "" } = problem;
    return new ApiError(response.status, String(title), String(detail), String(reason));
  } catch {
    return new ApiError(response.status, fallback, response.statusText, "");
  }
}

function pathWith(path, query) {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") params.set(name, String(value));
  }
  const text = params.toString();
  return text === "" ? path : `${path}?${text}`;
}

/** One segment of a path, percent-encoded. */
export function segment(text) {
  return encodeURIComponent(text);
}

/**
 * The API for one token. `onRefused` receives every 401, which ends the session; the view reports a 403. Every
 * method rejects with ApiError; an abort by `signal` rejects with the signal's reason.
 */
export function createApi({ token, onRefused }) {
  async function call(method, path, { query = {}, body, signal, timeout = true } = {}) {
    const limits = [signal, timeout ? AbortSignal.timeout(TIMEOUT_MS) : undefined];
    const response = await fetch(pathWith(path, query), {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      body: body === undefined ? null : typeof body === "string" ? body : JSON.stringify(body),
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      signal: AbortSignal.any(limits.filter((limit) => limit !== undefined)),
    }).catch((cause) => {
      if (signal?.aborted) throw signal.reason;
      throw unreachable(cause);
    });
    if (response.ok) return response;
    const error = await refusal(response);
    if (response.status === 401) onRefused(error);
    throw error;
  }

  async function json(method, path, options) {
    const response = await call(method, path, options);
    return response.status === 204 ? undefined : await response.json();
  }

  return {
    get: (path, query, signal) => json("GET", path, { query, signal }),
    /** `body` is a value, or JSON text. */
    post: (path, body) => json("POST", path, { body }),
    put: (path, body) => json("PUT", path, { body }),
    remove: (path, query) => json("DELETE", path, { query }),
    async bytes(path, signal) {
      const response = await call("GET", path, { signal, timeout: false });
      return new Uint8Array(await response.arrayBuffer());
    },
    /** A stream of text that ends when the server ends it or with the signal. */
    async stream(path, signal) {
      const response = await call("GET", path, { signal, timeout: false });
      return response.body.pipeThrough(new TextDecoderStream());
    },
  };
}
