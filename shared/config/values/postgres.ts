/** Values of PostgreSQL keys and options. Imports nothing, so that the command line starts fast. */

/** Whether a text is the URL of a database. */
export const isDatabaseUrl = (text: string): boolean =>
  URL.canParse(text) && /^postgres(ql)?:$/.test(new URL(text).protocol);

/** The name of a replication slot, as PostgreSQL allows it. */
export const SLOT = /^[a-z0-9_]{1,63}$/;

/** How often a log may be read by polling, in ms. */
export const [POLL_MIN_MS, POLL_MAX_MS] = [10, 60_000] as const;
