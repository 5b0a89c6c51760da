/**
 * A connection of its own for each request. One from a pool may have been ended by a Shield that was killed, or that waited
 * long enough for a next request, just when it is used again; the runtime tries a second one, which may have ended too.
 */
export const OWN_CONNECTIONS: Deno.HttpClient = Deno.createHttpClient({ poolMaxIdlePerHost: 0 });
