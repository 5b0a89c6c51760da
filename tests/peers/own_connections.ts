/**
 * A new connection for each request. A Shield that was killed, or whose keep-alive timeout passed, may have closed a
 * pooled one just when it is reused; the runtime retries on a second one, which may be closed, too.
 */
export const OWN_CONNECTIONS: Deno.HttpClient = Deno.createHttpClient({ poolMaxIdlePerHost: 0 });
