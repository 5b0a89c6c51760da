/**
 * The function that a listener of any kind asks for an answer. Opening listeners is `listen.ts`.
 */

/** Answers one request; must not reject, or the client gets a bare 500. */
export type Handler = (
  request: Request,
  info: Deno.ServeHandlerInfo<Deno.NetAddr>,
) => Response | Promise<Response>;
