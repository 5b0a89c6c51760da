/** The option `--websocket` of long runs: which kind of client sockets their Shields have. */

const KINDS = ["native", "ws", "own"];

/**
 * The line of `[server]` for it; "" leaves the default. Throws RangeError with what would be right.
 */
export function websocketLine(kind: string): string {
  if (kind === "") return "";
  if (KINDS.includes(kind)) return `websocket = "${kind}"\n`;
  throw new RangeError(`--websocket is ${JSON.stringify(kind)}; expected native, ws or own`);
}

/** The same for a command line: ends the process with 2. */
export function websocketOption(kind: string): string {
  try {
    return websocketLine(kind);
  } catch (error) {
    console.error((error as Error).message);
    Deno.exit(2);
  }
}
